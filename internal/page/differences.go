package page

import (
	"fmt"
	"strings"
)

// verdictOn is what the validation found of one table.
type verdictOn struct {
	Name        string       `json:"name"`
	Differences *differences `json:"differences"`
}

type differences struct {
	Missing   int64        `json:"missing"`
	Extra     int64        `json:"extra"`
	Different int64        `json:"different"`
	InMotion  int64        `json:"in_motion"`
	Unstable  int64        `json:"unstable"`
	Rows      []difference `json:"rows"`
	Note      string       `json:"note"`
}

type difference struct {
	Kind string `json:"kind"`
	Key  []struct {
		Column string  `json:"column"`
		Value  *string `json:"value"`
	} `json:"key"`
	Hash    string `json:"hash"`
	Copies  int64  `json:"copies"`
	Columns []struct {
		Name   string  `json:"name"`
		Source *string `json:"source"`
		Target *string `json:"target"`
	} `json:"columns"`
	Chunk    string `json:"chunk"`
	Unstable bool   `json:"unstable"`
}

// maxDiffering bounds the rows on the page, of all tables together.
const maxDiffering = 500

// tableOfDiffering is a table and its rows that differ.
type tableOfDiffering struct {
	Name, Sum, Note string
	Rows            []differing
	More            int64
}

// differing is one such row.
type differing struct{ Kind, Key, What string }

func (v *view) differing() {
	left := maxDiffering
	for _, t := range v.Report.Result.Tables {
		d := t.Differences
		if d == nil {
			continue
		}
		out := tableOfDiffering{Name: t.Name, Sum: d.sum(), Note: d.Note, More: d.Missing + d.Extra + d.Different}
		for i := range d.Rows[:min(len(d.Rows), left)] {
			r := &d.Rows[i]
			out.Rows = append(out.Rows, differing{r.Kind, r.key(), r.what()})
			out.More -= max(r.Copies, 1)
		}
		left -= len(out.Rows)
		v.Differing = append(v.Differing, out)
	}
}

func (d *differences) sum() string {
	var s []string
	for _, n := range []struct {
		n    int64
		what string
	}{{d.Missing, "missing on the target"}, {d.Extra, "on the target alone"}, {d.Different, "different"}, {d.Unstable, "of them another each time"}, {d.InMotion, "in motion, and equal by now"}} {
		if n.n > 0 {
			s = append(s, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	return strings.Join(s, ", ")
}

func (d *difference) key() string {
	if len(d.Key) == 0 {
		return "row " + d.Hash
	}
	var s []string
	for _, v := range d.Key {
		s = append(s, v.Column+" = "+orNull(v.Value))
	}
	return strings.Join(s, ", ")
}

// what tells the columns, with their values where the report has them.
func (d *difference) what() string {
	var s []string
	for _, c := range d.Columns {
		switch {
		case c.Source == nil && c.Target == nil:
			s = append(s, c.Name)
		case d.Kind == "missing":
			s = append(s, c.Name+" = "+orNull(c.Source))
		case d.Kind == "extra":
			s = append(s, c.Name+" = "+orNull(c.Target))
		default:
			s = append(s, c.Name+": "+orNull(c.Source)+" → "+orNull(c.Target))
		}
	}
	if d.Copies > 1 {
		s = append(s, fmt.Sprintf("%d copies", d.Copies))
	}
	if d.Unstable {
		s = append(s, "another each time")
	}
	if d.Chunk != "" {
		s = append(s, "chunk "+d.Chunk)
	}
	return strings.Join(s, ", ")
}

func orNull(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
