package pgsource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// relation is what the catalogs tell of a table or a sequence.
type relation struct {
	oid       uint32
	namespace stream.Text
	name      stream.Text
	kind      byte
	heap      bool
	pages     int64 // of the table itself
	bytes     int64 // with TOAST
	indexes   int64 // bytes of its indexes
	rows      int64 // the server's estimate, -1 for none
	parent    uint32
	root      uint32 // the topmost partitioned table, of a partition
	viaRoot   bool   // its rows must be routed anew on the target
	unstable  bool   // a partitioned table whose hash another server computes otherwise
	config    uint32 // the extension whose configuration it is
	filter    stream.Text
	refers    []uint32 // tables that its foreign keys refer to; of extensions' only
	columns   []stream.Text
	types     []uint32 // of the columns, in their order
	binary    bool     // its rows go in COPY's binary format
	generated []stream.Text
	intKey    stream.Text // a primary key of one integer column
	readable  bool
	hidden    bool // row-level security hides rows from us
	read      bool // a sequence whose position follows
	last      int64
	called    bool

	entry stream.DumpID
	owner stream.Text
}

func oid(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// readRelations reads the tables and sequences that may be dumped.
func (s *Source) readRelations(ctx context.Context, q *pgsession.Session) error {
	heap := "true"
	if s.versnum >= 120000 {
		heap = "c.relam = 2" // heap's OID is fixed
	}
	rows, err := q.Rows(ctx, `SELECT c.oid, n.nspname, c.relname, c.relkind, `+heap+`,
		CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int ELSE 0 END,
		CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END, c.reltuples::bigint,
		coalesce((SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition LIMIT 1), 0),
		CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') ELSE true END,
		c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user)
			AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')),
		CASE WHEN c.relkind = 'r' AND c.relhasindex THEN pg_catalog.pg_indexes_size(c.oid) ELSE 0 END
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
		AND n.nspname NOT IN ('information_schema', '`+LedgerSchema+`') ORDER BY c.oid`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		s.rels[oid(r[0])] = &relation{oid: oid(r[0]), namespace: stream.Text(r[1]), name: stream.Text(r[2]), kind: r[3][0],
			heap: r[4] == "t", pages: number(r[5]), bytes: number(r[6]), rows: number(r[7]), parent: oid(r[8]), readable: r[9] == "t", hidden: r[10] == "t", indexes: number(r[11])}
	}
	if err := s.readColumns(ctx, q); err != nil {
		return err
	}
	if err := s.readPartitioning(ctx, q); err != nil {
		return err
	}
	rows, err = q.Rows(ctx, `SELECT x.oid, c.oid, coalesce(c.cond, '') FROM pg_catalog.pg_extension x,
		LATERAL unnest(x.extconfig, x.extcondition) AS c (oid, cond)`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if rel := s.rels[oid(r[1])]; rel != nil {
			rel.config, rel.filter = oid(r[0]), stream.Text(r[2])
		}
	}
	if err := s.readFormats(ctx, q); err != nil {
		return err
	}
	// An extension's foreign keys are there before its rows are.
	rows, err = q.Rows(ctx, `SELECT k.conrelid, k.confrelid FROM pg_catalog.pg_constraint k
		WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE k.conrelid = ANY (x.extconfig))`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if rel := s.rels[oid(r[0])]; rel != nil {
			rel.refers = append(rel.refers, oid(r[1]))
		}
	}
	return nil
}

func (s *Source) readColumns(ctx context.Context, q *pgsession.Session) error {
	generated := "''"
	if s.versnum >= 120000 {
		generated = "a.attgenerated"
	}
	rows, err := q.Rows(ctx, `SELECT a.attrelid, a.attname, `+generated+`, a.atttypid FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
		AND n.nspname <> 'information_schema' ORDER BY a.attrelid, a.attnum`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		rel := s.rels[oid(r[0])]
		switch {
		case rel == nil:
		case r[2] == "":
			rel.columns = append(rel.columns, stream.Text(r[1]))
			rel.types = append(rel.types, oid(r[3]))
		default:
			rel.generated = append(rel.generated, stream.Text(r[1]))
		}
	}
	rows, err = q.Rows(ctx, `SELECT x.indrelid, a.attname FROM pg_catalog.pg_index x JOIN pg_catalog.pg_attribute a
		ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] WHERE x.indisprimary AND x.indnatts = 1 AND a.atttypid IN (20, 21, 23)`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if rel := s.rels[oid(r[0])]; rel != nil {
			rel.intKey = stream.Text(r[1])
		}
	}
	return nil
}

// readPartitioning finds each partition's root, and the partitions whose rows may belong
// elsewhere on the target: an enum's hash is of the OIDs of its values, which
// another server numbers otherwise, and the same goes for arrays, ranges and records of
// enums and for the reg* types, which are OIDs; a user's own type may hash anything; a nondeterministic collation's hash is the
// work of the ICU library at hand.
func (s *Source) readPartitioning(ctx context.Context, q *pgsession.Session) error {
	collation := ""
	if s.versnum >= 120000 {
		collation = " OR EXISTS (SELECT FROM pg_catalog.pg_collation l WHERE l.oid = ANY (p.partcollation) AND NOT l.collisdeterministic)"
	}
	if s.opts.Encoding != "UTF8" {
		// A hash of text is one of its bytes, and the target may well have another encoding.
		collation += " OR 0 <> ANY (p.partcollation)"
	}
	// The types are anyenum, anyarray, record, anyrange and anymultirange.
	rows, err := q.Rows(ctx, `SELECT DISTINCT p.partrelid FROM pg_catalog.pg_partitioned_table p
		JOIN pg_catalog.pg_opclass o ON o.oid = ANY (p.partclass)
		WHERE p.partstrat = 'h' AND (o.opcintype IN (3500, 2277, 2249, 3831, 4537) OR o.opcintype >= 16384`+collation+`)
		UNION SELECT p.partrelid FROM pg_catalog.pg_partitioned_table p
		JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs)
		JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		WHERE greatest(t.typbasetype, CASE WHEN t.typtype = 'd' THEN 0 ELSE t.oid END)
			IN (24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191)`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if rel := s.rels[oid(r[0])]; rel != nil {
			rel.unstable = true
		}
	}
	for _, r := range s.rels {
		for p, depth := s.rels[r.parent], 0; p != nil && depth < 100; p, depth = s.rels[p.parent], depth+1 {
			r.root = p.oid
			r.viaRoot = r.viaRoot || p.unstable
		}
	}
	return nil
}

// readSequences reads where the sequences stand, and how many large objects there are.
// Sequences are not transactional: read after the snapshot, they are never behind its rows.
func (s *Source) readSequences(ctx context.Context, q *pgsession.Session) error {
	const batch = 100
	var seqs []*relation
	for _, r := range s.rels {
		if r.kind == 'S' && r.readable {
			seqs = append(seqs, r)
		}
	}
	sortRelations(seqs)
	for part := range slices.Chunk(seqs, batch) {
		var sql strings.Builder
		for i, r := range part {
			if i > 0 {
				sql.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&sql, "SELECT %d, last_value, is_called FROM %s", i, pgsession.Qualified(string(r.namespace), string(r.name)))
		}
		rows, err := q.Rows(ctx, sql.String())
		if err != nil {
			return err
		}
		for _, r := range rows {
			seq := part[number(r[0])]
			seq.read, seq.last, seq.called = true, number(r[1]), r[2] == "t"
		}
	}
	row, err := q.Row(ctx, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata")
	if err != nil {
		return err
	}
	s.blobs = number(row[0])
	return nil
}

// extensionConfig returns the configuration tables of the extensions that are
// dumped, in the order of their OIDs; their rows depend on the extension.
func (s *Source) extensionConfig(exts map[uint32]stream.DumpID) []*relation {
	var out []*relation
	for _, r := range s.rels {
		if id, ok := exts[r.config]; ok && r.config != 0 && r.entry == 0 {
			r.entry = id
			out = append(out, r)
		}
	}
	sortRelations(out)
	return out
}

// allRelations returns the tables and sequences that could be dumped, for a source without a
// schema: where nothing but rows is compared.
func (s *Source) allRelations(id func() stream.DumpID) []*relation {
	var out []*relation
	for _, r := range s.rels {
		if r.kind == 'S' && r.readable || r.kind == 'r' && s.locked[r.oid] {
			r.entry = id()
			out = append(out, r)
		}
	}
	sortRelations(out)
	return out
}

// readRoles lists the roles that objects of the database refer to.
func (s *Source) readRoles(ctx context.Context, q *pgsession.Session) error {
	rows, err := q.Rows(ctx, `SELECT r.rolname, bool_or(d.deptype = 'o'), bool_or(d.deptype = 'a'), bool_or(d.deptype = 'r')
		FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
		WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype IN ('o', 'a', 'r')
		AND (d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
			OR d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.deptype = 'a'
				AND d.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		GROUP BY 1 UNION
		SELECT r.rolname, false, false, true FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
		WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY 1`)
	if err != nil {
		return err
	}
	if !s.whole() {
		return nil // which of them matter is told by the entries' owners
	}
	for _, r := range rows {
		if strings.HasPrefix(r[0], "pg_") {
			continue // every server has its own
		}
		s.facts.Roles = append(s.facts.Roles, stream.RoleUse{Name: stream.Text(r[0]), Owner: r[1] == "t", ACL: r[2] == "t", Other: r[3] == "t"})
	}
	return nil
}
