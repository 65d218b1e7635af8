package validate

import (
	"fmt"

	"github.com/pgmove/pgmove/stream"
)

func compareSequences(want, got []stream.SequenceValue, res *Result) {
	have := make(map[[2]stream.Text]stream.SequenceValue, len(got))
	for _, s := range got {
		have[[2]stream.Text{s.Namespace, s.Name}] = s
	}
	for _, w := range want {
		name := tableName(&stream.Table{Namespace: w.Namespace, Name: w.Name})
		g, ok := have[[2]stream.Text{w.Namespace, w.Name}]
		res.Sequences++
		switch {
		case !ok:
			res.Mismatches = append(res.Mismatches, fmt.Sprintf("sequence %s is missing on the target", name))
		case g != w:
			res.Mismatches = append(res.Mismatches, fmt.Sprintf("sequence %s stands at %s instead of %s", name, position(g), position(w)))
		}
	}
}

func position(s stream.SequenceValue) string {
	if s.Called {
		return fmt.Sprint(s.Last)
	}
	return fmt.Sprintf("%d, not yet called", s.Last)
}

// key is what identifies an item of the schema.
type key struct{ desc, namespace, tag stream.Text }

// compareSchema compares item by item. Between major versions the same object may be
// printed in other words: there a difference of the text alone is a warning.
func compareSchema(want *stream.Contents, h stream.Header, got []stream.SchemaItem, o Options, res *Result) {
	sameMajor := want.Header.Source.VersionNum/10000 == h.Source.VersionNum/10000
	left := map[key][]stream.SchemaItem{}
	skip := func(s stream.SchemaItem) bool { return o.NoACL && (s.Desc == "ACL" || s.Desc == "DEFAULT ACL") }
	for _, g := range got {
		if !skip(g) {
			k := key{g.Desc, g.Namespace, g.Tag}
			left[k] = append(left[k], g)
		}
	}
	var rest []stream.SchemaItem
	for _, w := range want.Schema {
		if skip(w) {
			continue
		}
		res.Schema++
		k := key{w.Desc, w.Namespace, w.Tag}
		if i := indexOf(left[k], w.Hash); i >= 0 {
			if g := left[k][i]; !o.NoOwner && g.Owner != w.Owner {
				res.Mismatches = append(res.Mismatches, fmt.Sprintf("%s belongs to %s instead of %s", w.Name(), g.Owner.Display(), w.Owner.Display()))
			}
			left[k] = append(left[k][:i:i], left[k][i+1:]...)
			continue
		}
		rest = append(rest, w)
	}
	for _, w := range rest {
		k := key{w.Desc, w.Namespace, w.Tag}
		switch {
		case len(left[k]) == 0:
			res.Mismatches = append(res.Mismatches, w.Name()+" is missing on the target")
		case sameMajor:
			res.Mismatches = append(res.Mismatches, w.Name()+" is defined differently on the target")
			left[k] = left[k][1:]
		default:
			res.Warnings = append(res.Warnings, w.Name()+" reads differently on the target, which is of another major version")
			left[k] = left[k][1:]
		}
	}
	for _, g := range got {
		k := key{g.Desc, g.Namespace, g.Tag}
		if len(left[k]) > 0 {
			left[k] = left[k][1:]
			if o.Others {
				res.Warnings = append(res.Warnings, g.Name()+" is on the target but not on the source: it was left")
				continue
			}
			res.Mismatches = append(res.Mismatches, g.Name()+" is on the target but not on the source")
		}
	}
}

func indexOf(items []stream.SchemaItem, hash string) int {
	for i := range items {
		if items[i].Hash == hash {
			return i
		}
	}
	return -1
}
