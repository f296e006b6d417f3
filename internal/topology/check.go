package topology

// checker finds what is wrong with a topology as a whole.
type checker struct {
	*reader
	t *Topology
}

func (c *checker) run() {}
