package pgsource

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// This is how a validation finds rows that differ: the server hashes them in buckets, and sends those in the buckets that differ.

// relationOf is what the catalogs tell of an entry's table, by its name where the entry comes from another server.
func (s *Source) relationOf(e *stream.Entry) *relation {
	if r := s.rels[e.CatalogID[1]]; r != nil && r.name == e.Table.Name && r.namespace == e.Table.Namespace {
		return r
	}
	for _, r := range s.rels {
		if r.kind == 'r' && r.name == e.Table.Name && r.namespace == e.Table.Namespace {
			return r
		}
	}
	return nil
}

// Find returns the entry of a table by which its rows can be read here, nil where there is no such table.
func (s *Source) Find(t *stream.Table) *stream.Entry {
	e := &stream.Entry{Namespace: t.Namespace, Tag: t.Name, Table: t}
	if t.LargeObjects {
		return e
	}
	r := s.relationOf(e)
	if r == nil {
		return nil
	}
	e.CatalogID = [2]uint32{0, r.oid}
	return e
}

// Key returns the positions of the columns of a table's primary key, or else of a unique key of columns that are never
// null. Large objects have OID and offset.
func (s *Source) Key(ctx context.Context, e *stream.Entry) ([]int, error) {
	if e.Table.LargeObjects {
		return []int{0, 1}, nil
	}
	atts := "i.indnatts"
	if s.versnum >= 110000 {
		atts = "i.indnkeyatts"
	}
	var rows [][]string
	err := s.with(ctx, func(w *worker) (err error) {
		rows, err = w.sess.Rows(ctx, fmt.Sprintf(`SELECT i.indexrelid, a.attname, a.attnotnull FROM pg_catalog.pg_index i
			CROSS JOIN LATERAL pg_catalog.generate_series(0, %s - 1) AS n
			LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n] AND i.indkey[n] <> 0
			WHERE i.indrelid = %s::pg_catalog.regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
			ORDER BY NOT i.indisprimary, %[1]s, i.indexrelid, n`, atts, pgsession.Literal(pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name)))))
		return err
	})
	if err != nil {
		return nil, pgsession.Explain(err, e.Name())
	}
	if err := s.readBases(ctx); err != nil {
		return nil, pgsession.Explain(err, e.Name())
	}
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r []string) bool { return r[0] != rows[0][0] })
		if n < 0 {
			n = len(rows)
		}
		var key []int
		for _, r := range rows[:n] {
			at := slices.Index(e.Table.Columns, stream.Text(r[1]))
			if r[2] != "t" || at < 0 {
				key = nil
				break
			}
			key = append(key, at)
		}
		if key != nil {
			return key, nil
		}
		rows = rows[n:]
	}
	return nil, nil
}

// readBases reads, for Show, what the types that users made are made of.
func (s *Source) readBases(ctx context.Context) error {
	s.basesMu.Lock()
	defer s.basesMu.Unlock()
	if s.bases != nil {
		return nil
	}
	var rows [][]string
	err := s.with(ctx, func(w *worker) (err error) {
		rows, err = w.sess.Rows(ctx, "SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typtype IN ('d', 'e')")
		return err
	})
	if err != nil {
		return err
	}
	s.bases = make(map[uint32]uint32, len(rows))
	for _, r := range rows {
		if s.bases[oid(r[0])] = oid(r[1]); r[1] == "0" {
			s.bases[oid(r[0])] = pgtype.TextOID // an enum's label
		}
	}
	return nil
}

// Show returns a field's value as the server would print it, as far as that is known here.
func (s *Source) Show(e *stream.Entry, format string, column int, field []byte) string {
	if format == stream.FormatText {
		return string(stream.UnescapeText(field))
	}
	t := uint32(pgtype.ByteaOID)
	if e.Table.LargeObjects {
		t = []uint32{pgtype.OIDOID, pgtype.Int8OID, pgtype.ByteaOID}[column]
	} else if r := s.relationOf(e); r != nil {
		if i := slices.Index(r.columns, e.Table.Columns[column]); i >= 0 {
			t = r.types[i]
		}
	}
	s.basesMu.Lock()
	for range 100 { // domains over domains
		base, ok := s.bases[t]
		if !ok {
			break
		}
		t = base
	}
	s.basesMu.Unlock()
	switch {
	case t == pgtype.JSONOID:
		return string(field)
	case t == pgtype.JSONBOID && len(field) > 0:
		return string(field[1:])
	case t == pgtype.NumericOID:
		if text, ok := showNumeric(field); ok {
			return text
		}
	}
	m := pgtype.NewMap()
	if typ, ok := m.TypeForOID(t); ok && t != pgtype.ByteaOID {
		if v, err := typ.Codec.DecodeValue(m, t, pgtype.BinaryFormatCode, field); err == nil {
			if b, err := m.Encode(t, pgtype.TextFormatCode, v, nil); err == nil {
				return string(b)
			}
		}
	}
	return `\x` + hex.EncodeToString(field)
}

// Hashing is by the hash of text that servers from 11 on share, of the rows' text in the database's own encoding. It is no
// proof, which the digests are.
func (s *Source) Hashing() string {
	if s.versnum < 110000 {
		return ""
	}
	return "postgresql hashtextextended " + s.ownEncoding
}

// Bounds returns the least and the greatest of a primary key of one integer.
func (s *Source) Bounds(ctx context.Context, e *stream.Entry, key []int) (lo, hi int64, ok bool, err error) {
	r := s.relationOf(e)
	if r == nil || r.intKey == "" || len(key) != 1 || e.Table.Columns[key[0]] != r.intKey {
		return 0, 0, false, nil
	}
	k := pgsession.Ident(string(r.intKey))
	err = s.with(ctx, func(w *worker) error {
		row, err := w.sess.Row(ctx, fmt.Sprintf("SELECT min(%s), max(%[1]s), min(%[1]s) IS NULL FROM ONLY %s", k, pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name))))
		if err == nil {
			lo, hi = number(row[0]), number(row[1])
			if row[2] == "t" {
				lo, hi = math.MaxInt64, math.MinInt64
			}
		}
		return err
	})
	return lo, hi, true, pgsession.Explain(err, e.Name())
}

// Sums hashes rows on the server.
func (s *Source) Sums(ctx context.Context, e *stream.Entry, key []int, c stream.Cut) (map[int]stream.Sum, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if e.Table.Filter != "" || e.Table.LargeObjects {
		return nil, stream.Fail(stream.Failed, "%s can't be hashed by the server", e.Name())
	}
	inner := fmt.Sprintf("SELECT %s AS h, %s AS b FROM ONLY %s%s", textHash(e.Table, nil), bucket(e.Table, key, c),
		pgsession.Qualified(string(e.Table.Namespace), string(e.Table.Name)), where(inBuckets(e.Table, key, []stream.Cut{c})))
	sql := fmt.Sprintf("SELECT b, count(*), sum(h) FROM (%s) x GROUP BY b", inner)
	sums := map[int]stream.Sum{}
	err := s.with(ctx, func(w *worker) error {
		rows, err := w.sess.Rows(ctx, lockNow(e.Table)+sql)
		for _, r := range rows {
			sums[int(number(r[0]))] = stream.Sum{Rows: number(r[1]), Hashes: low64(r[2])}
		}
		return err
	})
	return sums, pgsession.Explain(err, e.Name())
}

// low64 is the lowest 64 bits of a whole number.
func low64(s string) uint64 {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return 0
	}
	return n.And(n, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
}

// CopySome writes the rows in some buckets.
func (s *Source) CopySome(ctx context.Context, e *stream.Entry, key []int, format string, cuts []stream.Cut, now bool, w io.Writer) error {
	if !now {
		if err := s.check(); err != nil {
			return err
		}
	}
	if err := s.checkFilter(e); err != nil {
		return err
	}
	sql := copyQuery(e.Table, "", format)
	switch {
	case e.Table.LargeObjects:
		sql = blobQuery("true")
	case e.Table.Filter == "":
		sql = copyQuery(e.Table, inBuckets(e.Table, key, cuts), format)
	}
	if !e.Table.LargeObjects {
		sql = lockNow(e.Table) + sql
	}
	w = s.opts.Throttle.Writer(ctx, w)
	if now {
		sess, err := s.idle(ctx)
		if err != nil {
			return err
		}
		defer s.rest(sess)
		_, err = sess.CopyTo(ctx, w, sql)
		return pgsession.Explain(err, e.Name())
	}
	err := s.with(ctx, func(wk *worker) error {
		_, err := wk.sess.CopyTo(ctx, w, sql)
		return err
	})
	return pgsession.Explain(err, e.Name())
}

// lockNow doesn't wait behind a statement that waits for our own snapshot's locks.
func lockNow(t *stream.Table) string {
	return "LOCK TABLE ONLY " + pgsession.Qualified(string(t.Namespace), string(t.Name)) + " IN ACCESS SHARE MODE NOWAIT; "
}

func where(cond string) string {
	if cond == "" {
		return ""
	}
	return " WHERE " + cond
}

// textHash is the hash of the text of some columns, or of all.
func textHash(t *stream.Table, cols []int) string {
	names := make([]string, 0, len(t.Columns))
	for i, c := range t.Columns {
		if cols == nil || slices.Contains(cols, i) {
			names = append(names, pgsession.Ident(string(c)))
		}
	}
	return fmt.Sprintf(`pg_catalog.hashtextextended(ROW(%s)::text COLLATE pg_catalog."C", 0)`, strings.Join(names, ", "))
}

// bucket is the number of a row's bucket.
func bucket(t *stream.Table, key []int, c stream.Cut) string {
	if c.Width > math.MaxInt64/uint64(c.Of) {
		return fmt.Sprintf("pg_catalog.div(%s::numeric - (%d), %d)::int", pgsession.Ident(string(t.Columns[key[0]])), c.Lo, c.Width)
	}
	if c.Width > 0 {
		return fmt.Sprintf("((%s::bigint - (%d)) / %d)::int", pgsession.Ident(string(t.Columns[key[0]])), c.Lo, c.Width)
	}
	if len(key) == 0 {
		key = nil
	}
	return fmt.Sprintf("(%s & %d)::int", textHash(t, key), c.Of-1)
}

// inBuckets is the condition for rows in the buckets of one of the cuts; "" for all rows.
func inBuckets(t *stream.Table, key []int, cuts []stream.Cut) string {
	var terms []string
	for _, c := range cuts {
		switch {
		case c.Width > 0:
			terms = append(terms, ranges(pgsession.Ident(string(t.Columns[key[0]])), c)...)
		case c.Only == nil:
			return ""
		default:
			list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(c.Only)), ","), "[]")
			terms = append(terms, fmt.Sprintf("%s = ANY ('{%s}'::int[])", bucket(t, key, c), list))
		}
	}
	if len(terms) == 0 {
		return ""
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

// ranges are the conditions for a cut's ranges, which an index serves; neighbours are one.
func ranges(key string, c stream.Cut) []string {
	only := c.Only
	if only == nil {
		only = []int{0}
	}
	bound := func(bucket int) *big.Int {
		n := new(big.Int).Mul(big.NewInt(int64(bucket)), new(big.Int).SetUint64(c.Width))
		return n.Add(n, big.NewInt(c.Lo))
	}
	var out []string
	for i := 0; i < len(only); i++ {
		from, to := only[i], only[i]+1
		for i+1 < len(only) && only[i+1] == to {
			i, to = i+1, to+1
		}
		if c.Only == nil {
			to = c.Of
		}
		cond := fmt.Sprintf("%s >= '%s'::pg_catalog.int8", key, bound(from))
		if end := bound(to); end.IsInt64() {
			cond += fmt.Sprintf(" AND %s < '%s'::pg_catalog.int8", key, end)
		}
		out = append(out, "("+cond+")")
	}
	return out
}
