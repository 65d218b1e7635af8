package pgsource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// What is moved is what pg_dump would take: it gets the patterns as they were given, and tells which schema it prints and, where
// something is excluded, which tables it would read. No pattern decides anything here.

// picked is what pg_dump takes the contents of.
type picked struct {
	tables map[uint32]bool
	seqs   map[[2]string]bool
}

// childrenFrom is the first major version whose pg_dump knows the flags that end in -and-children.
const childrenFrom = 16

// knows refuses flags that this pg_dump does not have.
func (t *tool) knows(sel *stream.Selection) error {
	for _, p := range sel.Patterns() {
		if strings.HasSuffix(p.Flag, "-and-children") && t.major < childrenFrom {
			return (&stream.Failure{Kind: stream.Preflight, Object: "pg_dump " + t.version, Msg: "it does not know --" + p.Flag}).
				WithHint("install postgresql-client-%d or newer, or name its folder with --pg-bin", childrenFrom)
		}
	}
	return nil
}

// selected returns the patterns as pg_dump's arguments. On a source each must match something; on a target
// what isn't there is for the comparison to tell.
func (s *Source) selected() []string {
	var args []string
	for _, p := range s.opts.Selection.Patterns() {
		args = append(args, "--"+p.Flag+"="+p.Text)
	}
	if len(args) > 0 && s.opts.Side != "validate" {
		args = append(args, "--strict-names")
	}
	return args
}

// takesBlobs reports whether large objects are moved: as with pg_dump not where schemas or tables are named.
func (s *Source) takesBlobs() bool {
	return s.opts.Selection.Everything() && s.opts.Selection.Has(stream.Data)
}

// OnlyBlobs has no other large objects read than those with the OIDs: a target may hold more than what was moved.
func (s *Source) OnlyBlobs(oids []string) error {
	for _, o := range oids {
		if _, err := strconv.ParseUint(o, 10, 32); err != nil {
			return (&stream.Failure{Kind: stream.Integrity, Object: "large objects", Msg: "one has a name that is no number"})
		}
	}
	s.onlyBlobs = oids
	return nil
}

// pickedBlobs are the chunks of OnlyBlobs.
func (s *Source) pickedBlobs() []stream.Chunk {
	var out []stream.Chunk
	for part := range slices.Chunk(s.onlyBlobs, blobsPerChunk) {
		out = append(out, stream.Chunk{Format: stream.FormatBlobs, Range: stream.Text("m.oid IN (" + strings.Join(part, ", ") + ")"), Bytes: int64(len(part)) * blobEstimate})
	}
	return out
}

// readPicked asks pg_dump which tables and sequences it would read where patterns exclude some.
func (s *Source) readPicked(ctx context.Context, excludeLedger bool) error {
	if !s.opts.Selection.Excludes() || !s.opts.Selection.Has(stream.Data) || s.opts.Side == "validate" {
		return nil
	}
	args := []string{"--section=data"}
	if excludeLedger {
		args = append(args, "--exclude-schema="+LedgerSchema)
	}
	toc, err := s.tool.run(ctx, s, append(args, s.selected()...), true)
	if err != nil {
		return err
	}
	s.picked = &picked{tables: map[uint32]bool{}, seqs: map[[2]string]bool{}}
	for i := range toc.Entries {
		switch e := &toc.Entries[i]; e.Desc {
		case "TABLE DATA":
			s.picked.tables[e.CatalogID[1]] = true
		case "SEQUENCE SET":
			s.picked.seqs[[2]string{e.Namespace, e.Tag}] = true
		}
	}
	return nil
}

// onlyPicked leaves out relations whose contents are not moved, and says so.
func (s *Source) onlyPicked(order []*relation) []*relation {
	if !s.opts.Selection.Has(stream.Data) {
		return nil
	}
	var out []*relation
	kept := map[uint32]bool{}
	for _, r := range order {
		if s.picked != nil && (r.kind == 'S' && !s.picked.seqs[[2]string{string(r.namespace), string(r.name)}] ||
			r.kind == 'r' && !s.picked.tables[r.oid]) {
			continue
		}
		kept[r.oid] = true
		out = append(out, r)
	}
	if s.opts.Side != "validate" && !s.whole() {
		s.tellLeftOut(kept)
	}
	return out
}

// readKeys learns which tables refer to which, to tell of those whose other end is left out.
func (s *Source) readKeys(ctx context.Context, q *pgsession.Session) (err error) {
	if s.whole() || s.opts.Side == "validate" || !s.opts.Selection.Has(stream.PostData) {
		return nil
	}
	s.keys, err = q.Rows(ctx, "SELECT conname, conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f' ORDER BY conrelid, conname")
	return err
}

// tellDangling warns of foreign keys to tables that are not moved, by the tables' entries.
func (s *Source) tellDangling(moved map[uint32]stream.DumpID) {
	seen := map[[2]uint32]bool{}
	for _, k := range s.keys {
		from, to := s.rels[oid(k[1])], s.rels[oid(k[2])]
		if from == nil || to == nil || moved[from.oid] == 0 || moved[to.oid] != 0 || seen[[2]uint32{from.oid, to.oid}] {
			continue
		}
		seen[[2]uint32{from.oid, to.oid}] = true
		s.warn(fmt.Sprintf("foreign key %s of %s refers to %s, which is not moved: it fails where that is not on the target",
			stream.Text(k[0]).Display(), nameList([][]string{{string(from.namespace), string(from.name)}}), nameList([][]string{{string(to.namespace), string(to.name)}})))
	}
}

// tellLeftOut names the tables whose rows are not moved, and counts the large objects.
func (s *Source) tellLeftOut(kept map[uint32]bool) {
	var left []*relation
	for _, r := range s.rels {
		if r.kind == 'r' && s.locked[r.oid] && !kept[r.oid] {
			left = append(left, r)
		}
	}
	sortRelations(left)
	var names [][]string
	for _, r := range left {
		names = append(names, []string{string(r.namespace), string(r.name)})
	}
	if len(names) > 0 {
		s.warn(fmt.Sprintf("the rows of %d tables are left out, as asked: %s", len(names), nameList(names)))
	}
	if s.blobs > 0 && !s.takesBlobs() {
		s.warn(fmt.Sprintf("%d large objects are left out: where --schema or --table name what is moved, pg_dump takes none either", s.blobs))
	}
}

// onlyWanted takes out of an archive's table of contents what is of sections that aren't moved; what sets up
// pg_restore's session stays.
func (s *Source) onlyWanted(t *pgtoc.TOC) {
	sel := &s.opts.Selection
	if len(sel.Sections) == 0 {
		return
	}
	sections := t.Sections()
	var kept []pgtoc.Entry
	for i := range t.Entries {
		e := &t.Entries[i]
		probe := stream.Entry{Desc: stream.Text(e.Desc), Tag: stream.Text(e.Tag), Section: stream.PreData}
		switch sections[i] {
		case pgtoc.Data:
			probe.Section = stream.Data
		case pgtoc.PostData:
			probe.Section = stream.PostData
		}
		if e.Desc == "MATERIALIZED VIEW DATA" {
			probe.Pass = stream.RefreshPass
		}
		switch e.Desc {
		case "ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE":
			kept = append(kept, *e)
		default:
			if sel.Wants(&probe) {
				kept = append(kept, *e)
			}
		}
	}
	t.Entries = kept
}
