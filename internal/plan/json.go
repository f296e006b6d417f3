package plan

import "github.com/vpnctl/vpnctl/internal/backend"

// Result says what became of a plan.
type Result string

// The results; see contract, section 2.
const (
	Planned    Result = "planned"
	Unchanged  Result = "unchanged"
	Applied    Result = "applied"
	RolledBack Result = "rolled_back"
	Failed     Result = "failed"
)

// Document is the JSON of `diff` and `apply`. Fields are only ever added.
type Document struct {
	Site    string   `json:"site"`
	Node    string   `json:"node"`
	Result  Result   `json:"result"`
	Changes []change `json:"changes"`
	Summary Summary  `json:"summary"`
}

type change struct {
	Action string  `json:"action"`
	Object string  `json:"object"`
	Fields []field `json:"fields"`
	Impact impact  `json:"impact"`
	Note   *string `json:"note"`
}

type field struct {
	Name   string  `json:"name"`
	Have   *string `json:"have"`
	Want   *string `json:"want"`
	Secret bool    `json:"secret"`
}

type impact struct {
	Level    string    `json:"level"`
	What     *string   `json:"what"`
	Sessions []session `json:"sessions"`
}

type session struct {
	Protocol backend.Kind `json:"protocol"`
	Name     string       `json:"name"`
	User     *string      `json:"user"`
	Peer     *string      `json:"peer"`
	Address  *string      `json:"address"`
}

// Document returns the plan as what JSON and YAML output print.
func (p *Plan) Document(result Result) Document {
	changes := p.Changes()
	doc := Document{
		Site: p.Site, Node: p.Node, Result: result,
		Changes: make([]change, 0, len(changes)),
		Summary: Summarize(changes),
	}
	for _, c := range changes {
		doc.Changes = append(doc.Changes, document(c))
	}
	return doc
}

func document(c backend.Change) change {
	out := change{
		Action: c.Action.String(), Object: c.Object, Note: optional(c.Note),
		Fields: make([]field, 0, len(c.Fields)),
		// An empty list, not null: jq '.[]' takes the one and fails on the other.
		Impact: impact{Level: c.Impact.Level.String(), What: optional(c.Impact.What), Sessions: []session{}},
	}
	for _, s := range c.Impact.Sessions {
		out.Impact.Sessions = append(out.Impact.Sessions, session{
			Protocol: s.Protocol, Name: s.Name,
			User: optional(s.User), Peer: optional(s.Peer), Address: optional(s.Address),
		})
	}
	for _, f := range c.Fields {
		out.Fields = append(out.Fields, field{
			Name: f.Name, Have: shown(f.Have), Want: shown(f.Want),
			Secret: f.Have.IsSecret() || f.Want.IsSecret(),
		})
	}
	return out
}

// shown is a value's text, nil where it is absent or secret.
func shown(v backend.Value) *string {
	if s, ok := v.Get(); ok {
		return &s
	}
	return nil
}

// optional is a text, nil where it does not apply.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
