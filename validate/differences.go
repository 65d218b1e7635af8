package validate

import (
	"fmt"
	"strings"
)

// Differences are the rows of a table that differ. The counts are exact, however many of the rows are listed.
type Differences struct {
	Missing   int64 `json:"missing"`   // on the source alone
	Extra     int64 `json:"extra"`     // on the target alone
	Different int64 `json:"different"` // of the same key on both, and not equal
	// InMotion rows differed at first, and were equal when they were looked at again: they are no mismatch.
	InMotion int64 `json:"in_motion,omitempty"`
	// Unstable rows are those of the rows above that were others each time they were looked at.
	Unstable int64 `json:"unstable,omitempty"`
	// Looks is how often rows were looked at again.
	Looks int `json:"looks,omitempty"`
	// Key names the columns that tell the rows apart; none where they were compared whole.
	Key []string `json:"key,omitempty"`
	// Rows lists them, up to Options.MaxDifferences.
	Rows []Difference `json:"rows,omitempty"`
	// Proved says that these rows are all that the digests differ by.
	Proved bool `json:"proved"`
	// BytesRead counts the bytes of rows that both sides sent to find them; what servers hashed by themselves is not in it.
	BytesRead int64 `json:"bytes_read"`
	// Note says what else is to be known, or why the rows could not be told.
	Note string `json:"note,omitempty"`
}

// The kinds of Difference.
const (
	RowMissing   = "missing"
	RowExtra     = "extra"
	RowDifferent = "different"
)

// Difference is one row that differs.
type Difference struct {
	Kind string `json:"kind"`
	// Key is shown, also where values are not.
	Key []Value `json:"key,omitempty"`
	// Hash tells rows apart that have no key.
	Hash string `json:"hash,omitempty"`
	// Copies is how many more of the row one side has.
	Copies int64 `json:"copies,omitempty"`
	// Columns are the columns that differ; of a row that is on one side only, with Options.ShowValues, all.
	Columns []Column `json:"columns,omitempty"`
	// Chunk names the archive's chunk that holds the row.
	Chunk string `json:"chunk,omitempty"`
	// Unstable says that the row was another each time it was looked at.
	Unstable bool `json:"unstable,omitempty"`
}

// Value is a column's value, cut where it is long; nil for NULL.
type Value struct {
	Column string  `json:"column"`
	Value  *string `json:"value"`
}

// Column is a column that differs. Its values are there only where they were asked for; nil then is NULL, or no row.
type Column struct {
	Name   string  `json:"name"`
	Source *string `json:"source,omitempty"`
	Target *string `json:"target,omitempty"`
	shown  bool
}

// Total is how many rows differ.
func (d *Differences) Total() int64 { return d.Missing + d.Extra + d.Different }

// Summary says in a few words what differs.
func (d *Differences) Summary() string {
	var s []string
	for _, n := range []struct {
		n    int64
		kind string
	}{{d.Missing, RowMissing}, {d.Extra, RowExtra}, {d.Different, RowDifferent}} {
		if n.n > 0 {
			s = append(s, fmt.Sprintf("%d %s", n.n, n.kind))
		}
	}
	if d.Unstable > 0 {
		s = append(s, fmt.Sprintf("%d of them unstable", d.Unstable))
	}
	if d.InMotion > 0 {
		s = append(s, fmt.Sprintf("%d in motion, and equal by now", d.InMotion))
	}
	return strings.Join(s, ", ")
}

// Name is the row's key for people to read.
func (d *Difference) Name() string {
	if len(d.Key) == 0 {
		return "row " + d.Hash
	}
	var s []string
	for _, v := range d.Key {
		s = append(s, v.Column+"="+show(v.Value))
	}
	return strings.Join(s, ", ")
}

// names are the names of the columns that differ.
func (d *Difference) names() string {
	var s []string
	for _, c := range d.Columns {
		s = append(s, c.Name)
	}
	return strings.Join(s, ", ")
}

// What says what is wrong with the row, after its kind and name.
func (d *Difference) What() string {
	var s []string
	for _, c := range d.Columns {
		switch {
		case !c.shown:
			s = append(s, c.Name)
		case d.Kind == RowMissing:
			s = append(s, c.Name+"="+show(c.Source))
		case d.Kind == RowExtra:
			s = append(s, c.Name+"="+show(c.Target))
		default:
			s = append(s, fmt.Sprintf("%s (%s on the source, %s on the target)", c.Name, show(c.Source), show(c.Target)))
		}
	}
	out := strings.Join(s, ", ")
	if d.Copies > 1 {
		out = strings.TrimPrefix(fmt.Sprintf("%s; %d copies", out, d.Copies), "; ")
	}
	if d.Unstable {
		out = strings.TrimPrefix(out+"; unstable", "; ")
	}
	return out
}

func show(v *string) string {
	if v == nil {
		return "NULL"
	}
	if *v == "" || strings.ContainsAny(*v, " ,;=()'\"\n\t") {
		return "'" + strings.ReplaceAll(*v, "'", "''") + "'"
	}
	return *v
}
