package mysource

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// The kinds of entries, in pg_dump's words where it has them. Names have no namespace: a
// URL names one database, and the target's may have another name.
//
//	section    Desc            Tag              Defn                                           depends on
//	pre-data   DATABASE        DATABASE         ALTER DATABASE: default charset and collation
//	pre-data   SEQUENCE        sequence         CREATE SEQUENCE (MariaDB)
//	pre-data   TABLE           table            CREATE TABLE                                   sequences
//	sequences  SEQUENCE SET    sequence, table  SELECT SETVAL or ALTER TABLE … AUTO_INCREMENT  sequence or table
//	data       TABLE DATA      table            none; CopyStmt is LOAD DATA                    table
//	post-data  INDEX           table            ALTER TABLE … ADD, all but full-text ones      table
//	post-data  FULLTEXT INDEX  table index      ALTER TABLE … ADD, one                         table, INDEX
//	post-data  FK CONSTRAINT   table            ALTER TABLE … ADD, all of the table            tables, their indexes
//	post-data  FUNCTION, …     routine          CREATE, after its settings                     nothing
//	post-data  VIEW            view             CREATE, after its settings                     tables, routines, views
//	post-data  TRIGGER         trigger          CREATE, after its settings                     table, FKs, triggers before it
//	last pass  EVENT           event            CREATE, after its settings                     nothing
const (
	descDatabase = "DATABASE"
	descSequence = "SEQUENCE"
	descTable    = "TABLE"
	descSet      = "SEQUENCE SET"
	descData     = "TABLE DATA"
	descIndex    = "INDEX"
	descFullText = "FULLTEXT INDEX"
	descForeign  = "FK CONSTRAINT"
	descView     = "VIEW"
	descTrigger  = "TRIGGER"
	descEvent    = "EVENT"
)

// reader collects entries, in the order in which they are made.
type reader struct {
	s       *Source
	sess    *mysession.Session
	entries []stream.Entry
	tables  map[string]stream.DumpID // also sequences
	indexes map[string]stream.DumpID // by table: its last entry of indexes
	foreign map[string]stream.DumpID
	seqs    []stream.DumpID
	// definitions of the tables, by name
	defs     map[string]*mysession.TableDefinition
	routines []stream.DumpID
	definers map[string]bool
}

// Entries takes the snapshot, where that was not done, and reads what it holds.
func (s *Source) Entries(ctx context.Context) (stream.Header, []stream.Entry, error) {
	s.endLoaded()
	if err := s.reconnect(ctx); err != nil {
		return stream.Header{}, nil, err
	}
	rels, err := s.hold(ctx)
	if err == nil {
		err = s.describe(ctx, s.all[0].sess, rels)
	}
	if err != nil {
		return stream.Header{}, nil, mysession.Explain(err, s.conn.Name())
	}
	r := &reader{s: s, tables: map[string]stream.DumpID{}, indexes: map[string]stream.DumpID{}, foreign: map[string]stream.DumpID{},
		defs: map[string]*mysession.TableDefinition{}, definers: map[string]bool{}}
	err = s.with(ctx, func(w *worker) error {
		r.sess = w.sess
		return r.read(ctx)
	})
	if err != nil {
		return stream.Header{}, nil, mysession.Explain(err, s.conn.Name())
	}
	s.schema = s.opts.Selection.Keep(schemaItems(r.entries))
	s.tellLeftOut()
	h := stream.Header{Engine: Engine, Bare: true, Source: s.facts}
	h.Source.Roles = r.roles()
	s.warnMu.Lock()
	h.Source.Warnings = append([]stream.Text(nil), s.warnings...)
	s.warnMu.Unlock()
	return h, r.entries, nil
}

func (r *reader) read(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.database, r.readSequences, r.readTables, r.values} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.data()
	r.keys()
	r.tellDangling()
	for _, step := range []func(context.Context) error{r.readRoutines, r.readViews, r.readTriggers, r.readEvents} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// add gives an entry its ID.
func (r *reader) add(e stream.Entry) stream.DumpID {
	e.ID = stream.DumpID(len(r.entries) + 1)
	r.entries = append(r.entries, e)
	return e.ID
}

// database: objects made without a charset get the database's, here and there the same.
func (r *reader) database(ctx context.Context) error {
	row, err := r.sess.Row(ctx, "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = "+r.s.qualifier())
	if err != nil {
		return err
	}
	r.s.database = fmt.Sprintf("ALTER DATABASE CHARACTER SET = %s COLLATE = %s", row[0], row[1])
	if r.s.opts.Selection.Everything() {
		r.add(stream.Entry{Section: stream.PreData, Desc: descDatabase, Tag: descDatabase, Defn: stream.Text(r.s.database)})
	}
	return nil
}

func (r *reader) readSequences(ctx context.Context) error {
	for _, rel := range r.s.order {
		if rel.kind != sequence {
			continue
		}
		row, err := r.sess.Row(ctx, "SHOW CREATE SEQUENCE "+mysession.Ident(rel.name))
		if err != nil {
			return err
		}
		id := r.add(stream.Entry{Section: stream.PreData, Desc: descSequence, Tag: stream.Text(rel.name), Defn: stream.Text(row[1]),
			DropStmt: stream.Text("DROP SEQUENCE " + mysession.Ident(rel.name))})
		r.tables[rel.name] = id
		r.seqs = append(r.seqs, id)
	}
	return nil
}

func (r *reader) readTables(ctx context.Context) error {
	r.s.nameFiles()
	r.s.creates, r.s.wholes = map[string]string{}, map[string]string{}
	for _, rel := range r.s.order {
		if rel.kind != table {
			continue
		}
		row, err := r.sess.Row(ctx, "SHOW CREATE TABLE "+mysession.Ident(rel.name))
		if err != nil {
			return err
		}
		r.s.creates[rel.name] = mysession.TableText(row[1], r.s.conn.Database(), r.s.version)
		def, err := mysession.ParseCreateTable(r.s.creates[rel.name], rel.engine != "InnoDB")
		if err != nil {
			return fmt.Errorf("table %s: %w", stream.Text(rel.name).Display(), err)
		}
		r.s.wholes[rel.name] = def.Whole
		e := stream.Entry{Section: stream.PreData, Desc: descTable, Tag: stream.Text(rel.name), Defn: stream.Text(def.Create), AccessMethod: stream.Text(rel.engine),
			DropStmt: stream.Text("DROP TABLE " + mysession.Ident(rel.name)), Relkind: 'r'}
		if strings.Contains(strings.ToLower(def.Create), "nextval") {
			e.Dependencies = r.seqs
		}
		r.defs[rel.name] = def
		r.tables[rel.name] = r.add(e)
		if rel.foreign {
			r.s.warn("table %s: of engine %s, only its definition is copied", e.Name(), rel.engine)
		}
	}
	return nil
}

// values reads the sequences' positions. They are no part of a snapshot: read after it, they are
// never less than what its rows hold.
func (r *reader) values(ctx context.Context) error {
	r.s.seqs = nil
	for _, rel := range r.s.order {
		if !r.s.moves(rel) {
			continue
		}
		v := stream.SequenceValue{Name: stream.Text(rel.name), Last: 1}
		e := stream.Entry{Section: stream.Sequences, Desc: descSet, Tag: v.Name, Dependencies: []stream.DumpID{r.tables[rel.name]}}
		q := mysession.Ident(rel.name)
		switch {
		case rel.kind == sequence:
			row, err := r.sess.Row(ctx, "SELECT next_not_cached_value, cycle_count FROM "+q)
			if err != nil {
				return err
			}
			v.Last = number(row[0])
			e.Defn = stream.Text(fmt.Sprintf("SELECT SETVAL(%s, %s, 0, %s)", q, row[0], row[1]))
		case rel.kind == table && rel.autoIncrement() != nil:
			// Where the server prints none it is 1. That entry is there too: entries are the same as long as definitions are.
			next := cmp.Or(r.defs[rel.name].AutoIncrement, "1")
			v.Last = position(next)
			e.Defn = stream.Text("ALTER TABLE " + q + " AUTO_INCREMENT = " + next)
		default:
			continue
		}
		r.s.seqs = append(r.s.seqs, v)
		e.Locks = e.Dependencies
		r.add(e)
	}
	return nil
}

// position reads an AUTO_INCREMENT value, which may use all of 64 bits without a sign.
func position(s string) int64 {
	lo, _, err := integers(s, s)
	if err != nil {
		return 0
	}
	return int64(lo.bits)
}

func (r *relation) autoIncrement() *column {
	for _, c := range r.columns {
		if c.auto {
			return c
		}
	}
	return nil
}

// data makes the data entries.
func (r *reader) data() {
	for _, rel := range r.s.order {
		if rel.kind != table || !r.s.reads(rel) {
			continue
		}
		t := &stream.Table{Name: stream.Text(rel.name), Bytes: rel.bytes, Rows: rel.rows}
		for _, c := range rel.copied() {
			t.Columns = append(t.Columns, stream.Text(c.name))
		}
		for _, c := range rel.columns {
			if c.generated {
				t.Generated = append(t.Generated, stream.Text(c.name))
			}
		}
		r.add(stream.Entry{Section: stream.Data, Desc: descData, Tag: t.Name, Table: t, Dependencies: []stream.DumpID{r.tables[rel.name]},
			CopyStmt: rel.loadStmt()})
	}
}

// loadStmt is the statement that loads the table's rows.
func (r *relation) loadStmt() stream.Text {
	var into, sets []string
	for _, c := range r.copied() {
		target, set := c.target(fmt.Sprintf("@v%d", len(into)+1))
		into = append(into, target)
		if set != "" {
			sets = append(sets, set)
		}
	}
	for i, c := range r.copied() {
		if c.auto && len(sets) > 0 {
			// Where anything is assigned, a zero that isn't makes the server count on (MariaDB 10.11).
			into[i] = fmt.Sprintf("@v%d", i+1)
			sets = append(sets, mysession.Ident(c.name)+" = "+into[i])
		}
	}
	if len(into) == 0 {
		into = []string{"@v1"} // all columns are generated: a row is an empty line
	}
	return stream.Text(mysession.LoadStmt(r.name, into, sets))
}

// keys makes the entries of indexes and then those of foreign keys.
func (r *reader) keys() {
	for _, rel := range r.s.order {
		def := r.defs[rel.name]
		if def == nil {
			continue
		}
		own := r.tables[rel.name]
		var plain []mysession.Key
		for _, k := range def.Keys {
			if !k.FullText {
				plain = append(plain, k)
			}
		}
		base := stream.Entry{Section: stream.PostData, Tag: stream.Text(rel.name), Dependencies: []stream.DumpID{own}, Locks: []stream.DumpID{own}}
		if len(plain) > 0 {
			e := base
			e.Desc, e.Defn, e.DropStmt = descIndex, stream.Text(mysession.AddKeys(rel.name, plain)), dropKeys(rel.name, "DROP INDEX ", plain)
			r.indexes[rel.name] = r.add(e)
		}
		for _, k := range def.Keys {
			if !k.FullText {
				continue
			}
			e, one := base, []mysession.Key{k}
			e.Desc, e.Tag, e.Defn, e.DropStmt = descFullText, stream.Text(rel.name+" "+k.Name), stream.Text(mysession.AddKeys(rel.name, one)), dropKeys(rel.name, "DROP INDEX ", one)
			if before := r.indexes[rel.name]; before != 0 {
				e.Dependencies = []stream.DumpID{own, before}
			}
			r.indexes[rel.name] = r.add(e)
		}
	}
	for _, rel := range r.s.order {
		def := r.defs[rel.name]
		if def == nil || len(def.Foreign) == 0 {
			continue
		}
		e := stream.Entry{Section: stream.PostData, Desc: descForeign, Tag: stream.Text(rel.name),
			Defn: stream.Text(mysession.AddKeys(rel.name, def.Foreign)), DropStmt: dropKeys(rel.name, "DROP FOREIGN KEY ", def.Foreign)}
		need := func(name string) {
			for _, id := range []stream.DumpID{r.tables[name], r.indexes[name]} {
				if id != 0 && !contains(e.Dependencies, id) {
					e.Dependencies = append(e.Dependencies, id)
				}
			}
			if id := r.tables[name]; id != 0 && !contains(e.Locks, id) {
				e.Locks = append(e.Locks, id)
			}
		}
		need(rel.name)
		for _, k := range def.Foreign {
			if k.Database != "" && k.Database != r.s.conn.Database() {
				r.s.warn("table %s: foreign key %s refers to another database, %s", stream.Text(rel.name).Display(), stream.Text(k.Name).Display(), stream.Text(k.Database).Display())
				continue
			}
			need(k.References)
		}
		r.foreign[rel.name] = r.add(e)
	}
}

func contains(ids []stream.DumpID, id stream.DumpID) bool {
	for _, i := range ids {
		if i == id {
			return true
		}
	}
	return false
}

func dropKeys(table, verb string, keys []mysession.Key) stream.Text {
	defs := make([]string, len(keys))
	for i, k := range keys {
		defs[i] = verb + mysession.Ident(k.Name)
	}
	return stream.Text("ALTER TABLE " + mysession.Ident(table) + " " + strings.Join(defs, ", "))
}
