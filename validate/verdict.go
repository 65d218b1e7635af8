package validate

import "fmt"

func (g *group) verdict(byRows bool, res *Result) Table {
	t := Table{Name: g.name, Source: g.want, Target: g.got, Note: g.note}
	for _, tc := range g.tables {
		t.IDs = append(t.IDs, int32(tc.ID))
	}
	if g.note != "" {
		res.Unverified = append(res.Unverified, g.name+": "+g.note)
	}
	switch {
	case len(g.gone) > 0:
		t.Verdict = Missing
		res.Mismatches = append(res.Mismatches, fmt.Sprintf("table %s is missing on the target", g.gone[0]))
	case g.settled():
		t.Verdict = Equal
		t.Note = fmt.Sprintf("%d rows were in motion: they differed at first, and were equal when they were looked at again", g.differences.InMotion)
		res.Warnings = append(res.Warnings, g.name+": "+t.Note)
	case g.want.Rows != g.got.Rows:
		t.Verdict = Different
		res.Mismatches = append(res.Mismatches, fmt.Sprintf("table %s has %d rows instead of %d", g.name, g.got.Rows, g.want.Rows)+g.rows())
	case !byRows:
		t.Verdict = Counted
	case g.want != g.got:
		t.Verdict = Different
		res.Mismatches = append(res.Mismatches, fmt.Sprintf("table %s has %d rows, as it should, but not the same ones", g.name, g.got.Rows)+g.rows())
	default:
		t.Verdict = Equal
	}
	t.Differences, t.Checked = g.differences, g.checked
	if d := g.differences; d != nil && d.Unstable > 0 && d.Unstable == d.Total() {
		t.Verdict = Unstable
	}
	return t
}

// settled reports whether the group differed only by rows that were in motion.
func (g *group) settled() bool {
	d := g.differences
	return d != nil && d.Proved && d.InMotion > 0 && d.Total() == 0
}

// rows says for a mismatch by which rows the group differs.
func (g *group) rows() string {
	d := g.differences
	switch {
	case d == nil:
		return ""
	case d.Total() == 0:
		return "; " + d.Note
	}
	s := ": " + d.Summary()
	if len(d.Rows) > 0 {
		r := &d.Rows[0]
		s += fmt.Sprintf(" (%s %s", r.Kind, r.Name())
		if r.Kind == RowDifferent {
			s += " in " + r.names()
		}
		if r.Chunk != "" {
			s += ", chunk " + r.Chunk
		}
		if d.Total() > 1 {
			s += ", …"
		}
		s += ")"
	}
	return s
}
