package pgsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgarchive"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// OIDs of the catalogs that addresses in the table of contents name.
const (
	classRelation    = 1259
	classLargeObject = 2613
	classExtension   = 3079
)

// Entries takes the snapshot and returns what it holds. When pg_dump has to wait
// too long for a lock, snapshot and dump start over: nothing was copied yet.
func (s *Source) Entries(ctx context.Context) (stream.Header, []stream.Entry, error) {
	s.endLoaded()
	h := stream.Header{Engine: "postgresql"}
	for attempt := 1; ; attempt++ {
		err := s.snapshotAndSchema(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errLockWait) {
			return h, nil, pgsession.Explain(err, s.conn.Name())
		}
		if attempt == lockAttempts {
			return h, nil, (&stream.Failure{Kind: stream.Outage, Object: s.conn.Name(), Msg: "pg_dump could not lock the tables: " + s.blockers(ctx)}).
				WithHint("try again when those statements have ended")
		}
		s.warn("pg_dump waits for a lock, the dump starts over: " + s.blockers(ctx))
		s.Close()
		if s.coordinator, err = s.session(ctx); err != nil {
			return h, nil, err
		}
	}
	s.watch()
	s.convert()
	if err := s.addData(); err != nil {
		return h, nil, err
	}
	s.schema = s.opts.Selection.Keep(schemaItems(s.entries))
	s.warnMu.Lock()
	s.facts.Warnings = append([]stream.Text(nil), s.warnings...)
	s.warnMu.Unlock()
	h.Source = s.facts
	entries := s.entries
	s.entries = nil // who asked for them knows how long they are needed
	if s.opts.NoIndex {
		s.toc = nil
	}
	return h, entries, nil
}

func (s *Source) snapshotAndSchema(ctx context.Context) error {
	if err := s.holdSnapshot(ctx); err != nil {
		return err
	}
	s.startWorkers()
	// Both see the snapshot: pg_dump reads the schema while we read what rows need.
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.readSchema(ctx) })
	g.Go(func() error {
		return s.with(ctx, func(w *worker) error {
			return w.unblocked(ctx, func() error {
				for _, read := range []func(context.Context, *pgsession.Session) error{s.readRelations, s.readSequences, s.readKeys, s.readRoles} {
					if err := read(ctx, w.sess); err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
	return g.Wait()
}

// unblocked has f's statements wait for locks no longer than pg_dump does. To ask for a table's size takes a lock on it: behind who waits for
// the coordinator's that would be for ever. The error is errLockWait then.
func (w *worker) unblocked(ctx context.Context, f func() error) error {
	if err := w.sess.Do(ctx, "SET LOCAL lock_timeout = "+pgsession.Literal(fmt.Sprint(lockWait.Milliseconds()))); err != nil {
		return err
	}
	if err := f(); err != nil {
		if pgsession.Code(err) == "55P03" {
			return fmt.Errorf("%w: %w", errLockWait, err)
		}
		return err
	}
	return w.sess.Do(ctx, "SET LOCAL lock_timeout = 0")
}

// readSchema has pg_dump tell the schema.
func (s *Source) readSchema(ctx context.Context) error {
	if s.opts.NoSchema {
		s.toc = &pgtoc.TOC{}
		return nil
	}
	row, err := s.coordinator.Row(ctx, "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '"+LedgerSchema+"'")
	if err != nil {
		return err
	}
	if s.toc, err = s.tool.schema(ctx, s, row != nil); err != nil {
		return err
	}
	if err := s.readPicked(ctx, row != nil); err != nil {
		return err
	}
	if s.toc.Version.HasRelkind() && s.takesBlobs() {
		run, err := s.tool.largeObjects(ctx, s)
		if err != nil {
			return err
		}
		if err := s.toc.AddLargeObjects(run); err != nil {
			return err
		}
	}
	renumber(s.toc)
	for i := range s.toc.Entries {
		// A server can be newer than pg_dump knows, in minor versions too, and print
		// options that no server takes back.
		if e := &s.toc.Entries[i]; strings.Contains(e.Defn, "pg_attver") && e.Desc == "TABLE" {
			return (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(),
				Msg: fmt.Sprintf("pg_dump %s is older than the server and prints table %s in a form that no server takes", s.tool.version, e.Tag)}).
				WithHint("update the PostgreSQL client package")
		}
	}
	return nil
}

// whole reports whether the dump is of the whole database.
func (s *Source) whole() bool {
	return s.opts.Selection.Everything() && !s.opts.Selection.Excludes()
}

// convert turns the table of contents into entries.
func (s *Source) convert() {
	s.entries = pgarchive.Entries(s.toc, len(s.rels)+1)
	for i := range s.entries {
		e := &s.entries[i]
		if r := s.rels[e.CatalogID[1]]; r != nil && e.CatalogID[0] == classRelation && e.Relkind == 0 {
			e.Relkind = r.kind
		}
	}
}

// addData adds the entries of the data and sequences sections, which pg_dump was not asked for.
func (s *Source) addData() error {
	next := stream.DumpID(s.toc.MaxID())
	id := func() stream.DumpID { next++; return next }
	byOID := map[uint32]stream.DumpID{}
	exts := map[uint32]stream.DumpID{}
	blobs := []stream.DumpID{}
	var data []stream.Entry
	var seqs []stream.Entry
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.Desc == "EXTENSION":
			exts[e.CatalogID[1]] = e.ID
		case e.Desc == "BLOB", e.Desc == "BLOB METADATA":
			blobs = append(blobs, e.ID)
		case e.CatalogID[0] == classRelation && (e.Desc == "TABLE" || e.Desc == "SEQUENCE"):
			byOID[e.CatalogID[1]] = e.ID
		}
	}
	var order []*relation
	for i := range s.entries {
		if r := s.rels[s.entries[i].CatalogID[1]]; r != nil && s.entries[i].CatalogID[0] == classRelation && byOID[r.oid] == s.entries[i].ID {
			r.entry, r.owner = s.entries[i].ID, s.entries[i].Owner
			order = append(order, r)
		}
	}
	order = append(order, s.extensionConfig(exts)...)
	if s.opts.NoSchema {
		order = s.allRelations(id)
	}
	s.tellDangling(byOID)
	order = s.onlyPicked(order)
	roots := map[uint32]stream.DumpID{}
	for _, r := range order {
		switch {
		case r.kind == 'S':
			seqs = append(seqs, stream.Entry{ID: id(), Section: stream.Sequences, Desc: "SEQUENCE SET", Namespace: r.namespace,
				Tag: r.name, Owner: r.owner, Dependencies: []stream.DumpID{r.entry}, CatalogID: [2]uint32{0, r.oid}})
		case r.kind == 'r':
			if !s.locked[r.oid] {
				return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
					Msg: fmt.Sprintf("role %s may not read %s.%s", s.conn.User(), r.namespace.Display(), r.name.Display())}).
					WithHint("grant it SELECT on the table and USAGE on its schema")
			}
			if r.hidden {
				return s.hidesRows([][]string{{string(r.namespace), string(r.name)}})
			}
			data = append(data, s.tableData(r, id(), roots, byOID))
		}
	}
	for i := range data {
		if r := data[i].Table.Root; r != 0 {
			data[i].Dependencies = append(data[i].Dependencies, r)
		}
	}
	dataOf := map[uint32]stream.DumpID{}
	for i := range data {
		dataOf[data[i].CatalogID[1]] = data[i].ID
	}
	for i := range data {
		for _, to := range s.rels[data[i].CatalogID[1]].refers {
			if d := dataOf[to]; d != 0 {
				data[i].Dependencies = append(data[i].Dependencies, d)
			}
		}
	}
	if err := s.setSequences(seqs); err != nil {
		return err
	}
	if (len(blobs) > 0 || s.opts.NoSchema) && s.blobs > 0 && s.opts.Selection.Has(stream.Data) {
		data = append(data, stream.Entry{ID: id(), Section: stream.Data, Desc: "BLOBS", Tag: "BLOBS", Dependencies: blobs,
			Table: &stream.Table{Name: "large objects", LargeObjects: true, Rows: s.blobs, Bytes: s.blobs * blobEstimate}})
	}
	// Where pg_dump would put them: before the first post-data entry.
	at := len(s.entries)
	for i := range s.entries {
		if s.entries[i].Section == stream.PostData {
			at = i
			break
		}
	}
	s.entries = slices.Insert(s.entries, at, append(seqs, data...)...)
	return nil
}

// blobEstimate is what a large object is taken to measure, in bytes: asking each
// would read them.
const blobEstimate = 64 << 10

func (s *Source) tableData(r *relation, id stream.DumpID, roots map[uint32]stream.DumpID, byOID map[uint32]stream.DumpID) stream.Entry {
	t := &stream.Table{Namespace: r.namespace, Name: r.name, Columns: r.columns, Generated: r.generated,
		Filter: r.filter, Bytes: r.bytes, Rows: r.rows}
	into := r
	e := stream.Entry{ID: id, Section: stream.Data, Desc: "TABLE DATA", Namespace: r.namespace, Tag: r.name, Owner: r.owner,
		Dependencies: []stream.DumpID{r.entry}, CatalogID: [2]uint32{0, r.oid}, Table: t}
	if root := s.rels[r.root]; r.viaRoot && root != nil && byOID[root.oid] != 0 {
		// Rows are routed anew on the target: they need the root's column order.
		into = root
		t.Columns, t.Root, t.RootName = root.columns, root.entry, root.namespace+"."+root.name
		e.Defn = viaRootMark + stream.Text(pgsession.Qualified(string(root.namespace), string(root.name)))
	}
	e.CopyStmt = stream.Text("COPY " + pgsession.Qualified(string(into.namespace), string(into.name)) + columnList(t.Columns) + " FROM stdin;\n")
	return e
}

// columnList is the list of columns as COPY takes it, with a space before; "" for none.
func columnList(cols []stream.Text) string {
	if len(cols) == 0 {
		return ""
	}
	q := make([]string, len(cols))
	for i, c := range cols {
		q[i] = pgsession.Ident(string(c))
	}
	return " (" + strings.Join(q, ", ") + ")"
}

// setSequences makes the statements that set the sequences' positions.
func (s *Source) setSequences(seqs []stream.Entry) error {
	for i := range seqs {
		e := &seqs[i]
		r := s.rels[e.CatalogID[1]]
		if !r.read {
			return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(), Msg: fmt.Sprintf("role %s may not read sequence %s", s.conn.User(), e.Name())}).
				WithHint("grant it SELECT on the sequence")
		}
		v := stream.SequenceValue{Namespace: e.Namespace, Name: e.Tag, Last: r.last, Called: r.called}
		s.seqs = append(s.seqs, v)
		e.CatalogID[1] = 0 // as in pg_dump's own entry
		e.Defn = stream.Text(fmt.Sprintf("SELECT pg_catalog.setval(%s, %d, %t);\n",
			pgsession.Literal(pgsession.Qualified(string(e.Namespace), string(e.Tag))), v.Last, v.Called))
	}
	return nil
}
