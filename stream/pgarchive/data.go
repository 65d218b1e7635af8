package pgarchive

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// compressions are those of data files, in the order in which pg_restore looks for them.
var compressions = [...]stream.Compression{stream.None, stream.Gzip, stream.Lz4, stream.Zstd}

// object is a data file as it was found.
type object struct {
	stream.ForeignObject
	size int64
}

// find finds the object of a data file, which may bear a compression's suffix, for the entry.
func (a *archive) find(name string, e *pgtoc.Entry) (object, error) {
	var o object
	if err := pgtoc.CheckFile(name); err != nil {
		return o, a.damaged("%s: entry %d", keyIndex, e.ID).Because(err)
	}
	if name == keyIndex {
		return o, a.damaged("%s: entry %d claims %s for its rows", keyIndex, e.ID, keyIndex)
	}
	for _, z := range compressions[1:] {
		if strings.HasSuffix(name, z.Suffix()) {
			return o, a.damaged("%s: entry %d: the file name %s ends as a compressed file's", keyIndex, e.ID, name)
		}
	}
	for _, z := range compressions {
		key := name + z.Suffix()
		size, ok := a.sizes[key]
		if !ok || stream.CheckKey(key) != nil {
			continue
		}
		if o.Key != "" {
			return o, a.damaged("%s and %s are both there, and only one can hold what entry %d (%s) needs", o.Key, key, e.ID, label(e))
		}
		o = object{stream.ForeignObject{Key: key, Compression: z}, size}
	}
	if o.Key == "" {
		return o, a.damaged("%s is missing, which holds data of entry %d (%s)", name, e.ID, label(e))
	}
	if a.taken[o.Key] {
		return o, a.damaged("%s: two entries have the file %s", keyIndex, name)
	}
	a.taken[o.Key] = true
	return o, nil
}

// label names an entry for people.
func label(e *pgtoc.Entry) string {
	s := &stream.Entry{Namespace: stream.Text(e.Namespace), Tag: stream.Text(e.Tag)}
	return stream.Text(e.Desc).Display() + " " + s.Name()
}

// gates finds out which data entries are chunks of a table, and of which gate: see pgtoc.TableData. A
// gate has no data of its own, and its chunks depend on nothing.
func (a *archive) gates() error {
	seen := map[[2]string]bool{}
	for i := range a.toc.Entries {
		gate := &a.toc.Entries[i]
		if gate.Desc != pgtoc.DescTableData || gate.HadDumper {
			continue
		}
		chunks, others := 0, 0
		for _, d := range gate.Deps {
			c := a.byID[d]
			if c != nil && c.Desc == pgtoc.DescTableData && (c.Tag != gate.Tag || c.Namespace != gate.Namespace) {
				others++
			}
			if c == nil || c.Desc != pgtoc.DescTableData || !c.HadDumper || len(c.Deps) > 0 || c.Tag != gate.Tag || c.Namespace != gate.Namespace {
				continue
			}
			if a.claimed[d] != 0 {
				return a.damaged("%s: entry %d (%s) is part of two others", keyIndex, d, label(c))
			}
			a.claimed[d] = gate.ID
			chunks++
		}
		if chunks == 0 && others > 0 && gate.File == "" && gate.CopyStmt == "" {
			a.claimed[gate.ID] = gate.ID // of a partitioned table: see pgtoc.RootGate
			continue
		}
		if chunks == 0 || gate.File != "" || gate.CopyStmt != "" {
			return a.damaged("%s: entry %d (%s) has no data, nor parts that do", keyIndex, gate.ID, label(gate))
		}
	}
	for i := range a.toc.Entries {
		e := &a.toc.Entries[i]
		if e.Desc != pgtoc.DescTableData || a.claimed[e.ID] != 0 {
			continue
		}
		name := [2]string{e.Namespace, e.Tag}
		if seen[name] {
			return a.damaged("%s: entry %d (%s): another entry has rows of the same table", keyIndex, e.ID, label(e))
		}
		seen[name] = true
	}
	return nil
}

// entries sorts out the entries: what creates objects, what sets sequences, what holds rows.
func (a *archive) entries(ctx context.Context) error {
	all := Entries(a.toc, 0)
	extensions := false
	for i := range all {
		switch e := &all[i]; e.Desc {
		case "TABLE", "FOREIGN TABLE":
			a.tables[[2]stream.Text{e.Namespace, e.Tag}] = e
		case "EXTENSION":
			extensions = true // its tables may come with rows and without an entry
		}
	}
	if len(a.tables) == 0 && !extensions {
		for i := range all {
			if all[i].Desc == pgtoc.DescTableData {
				return a.refused("it holds rows and not the tables that they belong in (pg_dump --data-only)")
			}
		}
	}
	statistics := 0
	a.out.Entries = make([]stream.Entry, 0, len(all))
	for i := range all {
		e := all[i]
		te := a.byID[int32(e.ID)]
		switch {
		case te.Desc == pgtoc.DescTableData, te.Desc == pgtoc.DescBlobs:
		case te.HadDumper:
			return a.refused("entry %d (%s) has data of a kind that pgmove does not know", te.ID, label(te))
		case te.File != "":
			return a.damaged("%s: entry %d (%s) has a file and no data", keyIndex, te.ID, label(te))
		}
		switch te.Desc {
		case pgtoc.DescTableData:
			if gate := a.claimed[te.ID]; gate != 0 {
				a.alias[e.ID] = stream.DumpID(gate)
				continue
			}
			if err := a.tableData(&e, te); err != nil {
				return err
			}
		case pgtoc.DescBlobs:
			continue // all of them are one entry, which comes after
		case pgtoc.DescSequenceSet:
			a.sequence(&e)
		case "STATISTICS DATA":
			statistics++
			continue
		}
		a.out.Entries = append(a.out.Entries, e)
	}
	if statistics > 0 {
		a.warnings = append(a.warnings, fmt.Sprintf("the planner's statistics that pg_dump wrote (%d entries) are not restored: they are gathered anew", statistics))
	}
	if err := a.blobs(ctx); err != nil {
		return err
	}
	a.resolve()
	return nil
}

// tableData makes the data entry of a table and plans its chunks.
func (a *archive) tableData(e *stream.Entry, te *pgtoc.Entry) error {
	parts := []*pgtoc.Entry{te}
	if !te.HadDumper {
		parts = parts[:0]
		for _, d := range te.Deps {
			if a.claimed[d] == te.ID {
				parts = append(parts, a.byID[d])
			}
		}
	}
	first := parts[0]
	if first.CopyStmt == "" {
		return a.refused("the rows of %s are INSERT statements (pg_dump --inserts)", e.Name()).
			WithHint("dump again without --inserts, --column-inserts and --rows-per-insert, or restore it with pg_restore")
	}
	into, err := parseCopy(first.CopyStmt)
	if err != nil {
		return a.damaged("%s: entry %d (%s): its COPY statement is not one that pg_dump writes", keyIndex, first.ID, label(first)).Because(err)
	}
	e.Section, e.Pass, e.Locks, e.Share = stream.Data, stream.MainPass, nil, false
	e.CopyStmt, e.Defn = stream.Text(into.text()), stream.Text(first.Defn)
	t := &stream.Table{Namespace: e.Namespace, Name: e.Tag, Columns: into.columns, Rows: -1}
	e.Table = t
	format := stream.FormatText
	if into.binary {
		format = stream.FormatBinary
	}
	for n, p := range parts {
		if p.CopyStmt != first.CopyStmt || p.Defn != first.Defn {
			return a.damaged("%s: entries %d and %d are parts of %s and load them differently", keyIndex, first.ID, p.ID, e.Name())
		}
		o, err := a.find(p.File, p)
		if err != nil {
			return err
		}
		a.out.Plan = append(a.out.Plan, stream.Chunk{Table: e.ID, N: n, Of: len(parts), ID: stream.DumpID(p.ID),
			Format: format, Key: o.Key, Bytes: o.size})
		a.out.Objects[o.Key] = []stream.ForeignObject{o.ForeignObject}
		t.Bytes += o.size
	}
	a.place(e, into, format)
	return nil
}

// place finds the table that the rows go into, and says whether they can be counted there.
func (a *archive) place(e *stream.Entry, into *copyInto, format string) {
	t := e.Table
	own := a.tables[[2]stream.Text{t.Namespace, t.Name}]
	target := a.tables[[2]stream.Text{into.namespace, into.name}]
	if target != nil && target != own {
		// A partition's rows that are routed anew: only at the root are they comparable.
		t.Root, t.RootName = target.ID, target.Namespace+"."+target.Tag
		if !slices.Contains(e.Dependencies, t.Root) {
			e.Dependencies = append(e.Dependencies, t.Root)
		}
	}
	switch {
	case target == nil, own == nil:
		// An extension's: which of its rows are the user's, the archive doesn't tell.
		a.warnings = append(a.warnings, fmt.Sprintf("the rows of %s are not compared: the archive does not hold the table itself", e.Name()))
	case own.Desc == "FOREIGN TABLE", target.Desc == "FOREIGN TABLE":
		a.warnings = append(a.warnings, fmt.Sprintf("the rows of %s are not compared: it is a foreign table", e.Name()))
	default:
		a.compare(e, format)
	}
}

// compare adds a data entry to what can be compared.
func (a *archive) compare(e *stream.Entry, format string) {
	a.contents.Tables = append(a.contents.Tables, stream.TableContents{ID: e.ID, Table: *e.Table, Format: format})
}

// sequence reads where a sequence stands.
func (a *archive) sequence(e *stream.Entry) {
	e.Section, e.Pass, e.Locks = stream.Sequences, stream.MainPass, nil
	last, called, ok := parseSetval(string(e.Defn), string(e.Namespace), string(e.Tag))
	if !ok {
		a.warnings = append(a.warnings, fmt.Sprintf("the position of sequence %s is not compared: its statement is not one that pg_dump writes", e.Name()))
		return
	}
	a.contents.Sequences = append(a.contents.Sequences, stream.SequenceValue{Namespace: e.Namespace, Name: e.Tag, Last: last, Called: called})
}

// resolve turns dependencies on entries that became part of others into dependencies on those.
func (a *archive) resolve() {
	for i := range a.out.Entries {
		e := &a.out.Entries[i]
		if !slices.ContainsFunc(e.Dependencies, func(d stream.DumpID) bool { return a.alias[d] != 0 }) {
			continue
		}
		seen := map[stream.DumpID]bool{e.ID: true}
		deps := e.Dependencies[:0]
		for _, d := range e.Dependencies {
			if to := a.alias[d]; to != 0 {
				d = to
			}
			if !seen[d] {
				seen[d] = true
				deps = append(deps, d)
			}
		}
		e.Dependencies = deps
	}
}
