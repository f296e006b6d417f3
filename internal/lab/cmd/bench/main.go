// Command bench compares vpnctl with the tools that an administrator would use in its
// place: wg, ip and wg-quick. It runs in the virtual machine ("make bench"), on a lab
// host with one WireGuard interface and many peers, each with one allowed IP and the
// route to it.
//
// The two sides of a comparison run in turns, and what is printed is the median of the
// ratios pair by pair: whatever else the machine does meanwhile slows both.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/vpnctl/vpnctl/internal/cli"
)

// options are what the command line says.
type options struct {
	peers   []int
	pairs   int    // counted; fewer for ten thousand peers
	wgQuick bool   // compare with wg-quick, which takes minutes
	profile bool   // explain every row, not only those that miss their aim
	pprof   string // the program that reads profiles; "" for none
}

func main() {
	if profiled() {
		os.Exit(profile(cli.Main))
	}
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{pprof: os.Getenv("PPROF")}
	fs := flag.NewFlagSet("bench", flag.ExitOnError)
	peers := fs.String("peers", "100,1000,10000", "numbers of peers")
	fs.IntVar(&o.pairs, "pairs", 5, "pairs that count, after one that does not; 3 at most for 10000 peers")
	fs.BoolVar(&o.wgQuick, "wg-quick", true, "compare with wg-quick, up to 1000 peers")
	fs.BoolVar(&o.profile, "profile", false, "show where the time goes for all rows, not only those that miss their aim")
	_ = fs.Parse(args) // it exits
	for _, s := range strings.Split(*peers, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1<<16 {
			return o, fmt.Errorf("-peers: %q is not a number from 1 to 65536", s)
		}
		o.peers = append(o.peers, n)
	}
	return o, nil
}

func run(o options) error {
	m := &machine{}
	var rows []row
	for _, n := range o.peers {
		for _, s := range scenarios(n, o) {
			fmt.Fprintf(os.Stderr, "bench: %s, %d peers\n", s.name, n)
			r, err := s.measure(m)
			if err != nil {
				return fmt.Errorf("%s, %d peers: %w", s.name, n, err)
			}
			rows = append(rows, r)
			fmt.Fprintf(os.Stderr, "bench: %.2f s : %.2f s, ratio %.3f\n", median(r.ours), median(r.theirs), median(r.ratios))
		}
	}
	fmt.Print(table(rows))
	for i := range rows {
		if (rows[i].missed() || o.profile) && o.pprof != "" {
			if err := explain(m, &rows[i], o.pprof); err != nil {
				return err
			}
		}
	}
	return nil
}

// table is what make bench prints.
func table(rows []row) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "peers\tvpnctl\tagainst\tpairs\tseconds\tratio\taim\tpeak MiB\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%.2f : %.2f\t%.3f\t%s\t%.0f : %.0f\t%s\n", r.peers, r.name, r.against, len(r.ratios),
			median(r.ours), median(r.theirs), median(r.ratios), r.aimText(), r.ourPeak, r.theirPeak, r.verdict())
	}
	_ = w.Flush() // a bytes.Buffer takes everything
	b.WriteString("Seconds and ratios are medians; ratios are taken pair by pair. MISSED rows are explained below.\n" +
		"The kernel counts bench itself, which starts them all, into the peaks: small ones are smaller still.\n")
	return b.String()
}
