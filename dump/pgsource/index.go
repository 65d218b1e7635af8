package pgsource

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// Index makes toc.dat, and the list of large objects that belongs to it: with
// them the archive is one that stock pg_restore reads.
func (s *Source) Index(entries []stream.Entry, _ []stream.Chunk, records []stream.Record, c stream.Compression) ([]stream.NamedObject, error) {
	comp, err := pgtoc.ParseCompression(string(c))
	if err != nil {
		return nil, err
	}
	byTable := map[stream.DumpID][]stream.Record{}
	for _, r := range records {
		byTable[r.Table] = append(byTable[r.Table], r)
	}
	schema := s.toc.Index()
	var out []stream.NamedObject
	var data []pgtoc.Entry
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Desc == "SEQUENCE SET":
			seq := schema[int32(e.Dependencies[0])]
			if seq == nil || seq.Desc != "SEQUENCE" { // an extension's
				seq = &pgtoc.Entry{ID: int32(e.Dependencies[0]), Tag: string(e.Tag), Namespace: string(e.Namespace), Owner: string(e.Owner)}
			}
			data = append(data, pgtoc.SequenceSet(int32(e.ID), seq, string(e.Defn)))
		case e.Table == nil:
		case e.Table.LargeObjects:
			entry, list := s.blobIndex(e, byTable[e.ID])
			data = append(data, entry)
			out = append(out, list)
		default:
			data = append(data, tableIndex(e, byTable[e.ID])...)
		}
	}
	data = append(data, rootGates(s.toc, entries, records)...)
	toc, err := pgtoc.Assemble(s.toc, data, pgtoc.Options{Compression: comp, Created: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("toc.dat: %w", err)
	}
	s.onlyWanted(toc)
	schemasFirst(toc)
	var b bytes.Buffer
	if err := toc.Write(&b); err != nil {
		return nil, fmt.Errorf("toc.dat: %w", err)
	}
	s.toc = nil // it is made once
	return append(out, stream.NamedObject{Key: "toc.dat", Data: b.Bytes()}), nil
}

// schemasFirst has the privileges of what is in a schema wait for the schema's own: pg_restore -j grants side by side, and who
// grants in another role's name needs that role's USAGE on the schema. An archive of pg_dump leaves that to chance.
func schemasFirst(toc *pgtoc.TOC) {
	schemas := map[string]int32{}
	for i := range toc.Entries {
		if e := &toc.Entries[i]; e.Desc == "ACL" && strings.HasPrefix(e.Tag, "SCHEMA ") {
			name := strings.TrimPrefix(e.Tag, "SCHEMA ")
			if quoted, ok := strings.CutPrefix(name, `"`); ok {
				name = strings.ReplaceAll(strings.TrimSuffix(quoted, `"`), `""`, `"`)
			}
			schemas[name] = e.ID
		}
	}
	for i := range toc.Entries {
		if e := &toc.Entries[i]; e.Desc == "ACL" && schemas[e.Namespace] != 0 && e.ID != schemas[e.Namespace] {
			e.Deps = append(slices.Clone(e.Deps), schemas[e.Namespace])
		}
	}
}

func tableIndex(e *stream.Entry, records []stream.Record) []pgtoc.Entry {
	slices.SortFunc(records, func(a, b stream.Record) int { return cmp.Compare(a.N, b.N) })
	d := pgtoc.TableData{ID: int32(e.ID), Table: int32(e.Dependencies[0]), OID: e.CatalogID[1], Namespace: string(e.Namespace),
		Name: string(e.Tag), Owner: string(e.Owner), CopyStmt: string(e.CopyStmt)}
	if len(records) > 0 && records[0].Format == stream.FormatBinary { // as all of the table's
		d.CopyStmt = strings.TrimRight(d.CopyStmt, ";\n") + copyOptions(stream.FormatBinary) + ";\n"
	}
	if e.Table.Root == 0 {
		for _, dep := range e.Dependencies[1:] {
			d.Deps = append(d.Deps, int32(dep))
		}
	} else {
		d.Root = strings.TrimPrefix(string(e.Defn), viaRootMark)
	}
	for _, r := range records {
		d.Chunks = append(d.Chunks, pgtoc.ChunkFile{ID: int32(r.ID), File: fmt.Sprintf("%d.dat", r.ID)})
	}
	return d.Entries()
}

// rootGates makes a gate for each partitioned table whose partitions have rows; see pgtoc.RootGate.
func rootGates(toc *pgtoc.TOC, entries []stream.Entry, records []stream.Record) []pgtoc.Entry {
	tables := map[stream.DumpID]*stream.Entry{}
	dataOf := map[stream.DumpID][]int32{} // by table
	var next stream.DumpID
	for i := range entries {
		e := &entries[i]
		next = max(next, e.ID, slices.Max(append(e.Dependencies, 0)))
		switch {
		case e.Desc == "TABLE":
			tables[e.ID] = e
		case e.Table != nil && len(e.Dependencies) > 0:
			dataOf[e.Dependencies[0]] = append(dataOf[e.Dependencies[0]], int32(e.ID))
		}
	}
	for i := range records {
		next = max(next, records[i].ID)
	}
	parts := map[stream.DumpID][]stream.DumpID{} // by partitioned table
	for i := range entries {
		if entries[i].Desc != "TABLE ATTACH" {
			continue
		}
		// It depends on the parent and on the partition, which has its name.
		var parent, part stream.DumpID
		for _, d := range entries[i].Dependencies {
			switch t := tables[d]; {
			case t == nil:
			case t.Tag == entries[i].Tag && t.Namespace == entries[i].Namespace:
				part = d
			default:
				parent = d
			}
		}
		parts[parent] = append(parts[parent], part)
	}
	var gates []pgtoc.Entry
	byID := toc.Index()
	for i := range entries {
		root := entries[i].ID
		if len(parts[root]) == 0 || tables[root] == nil || byID[int32(root)] == nil || len(dataOf[root]) > 0 {
			continue
		}
		below, rows := []stream.DumpID{root}, []int32(nil)
		seen := map[stream.DumpID]bool{root: true}
		for n := 0; n < len(below); n++ {
			rows = append(rows, dataOf[below[n]]...)
			for _, p := range parts[below[n]] {
				if !seen[p] {
					seen[p] = true
					below = append(below, p)
				}
			}
		}
		if len(rows) > 0 {
			next++
			gates = append(gates, pgtoc.RootGate(int32(next), byID[int32(root)], rows))
		}
	}
	return gates
}

// viaRootMark begins the definition of a data entry whose rows go through the partition root.
const viaRootMark = "-- load via partition root "

// blobIndex makes the entry of all large objects and the list of their files.
func (s *Source) blobIndex(e *stream.Entry, records []stream.Record) (pgtoc.Entry, stream.NamedObject) {
	name := "blobs.toc"
	if s.toc.Version.HasRelkind() {
		name = fmt.Sprintf("blobs_%d.toc", e.ID)
	}
	var list bytes.Buffer
	for _, r := range records {
		for _, o := range r.Objects {
			file, _, _ := strings.Cut(o.Key, ".dat")
			fmt.Fprintf(&list, "%s %s.dat\n", strings.TrimPrefix(file, "blob_"), file)
		}
	}
	entry := pgtoc.Entry{ID: int32(e.ID), HadDumper: true, Tag: "BLOBS", Desc: pgtoc.DescBlobs, Section: pgtoc.Data, File: name,
		Null: pgtoc.NullDefn | pgtoc.NullDropStmt | pgtoc.NullCopyStmt | pgtoc.NullNamespace | pgtoc.NullTablespace | pgtoc.NullTableAM}
	for _, d := range e.Dependencies {
		entry.Deps = append(entry.Deps, int32(d))
	}
	return entry, stream.NamedObject{Key: name, Data: list.Bytes()}
}
