package mysource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// relation is a table, a view or a sequence.
type relation struct {
	name, engine, comment string
	kind                  kind
	bytes, rows           int64
	columns               []*column
	// versioned marks a table whose old rows are kept by the server (MariaDB).
	versioned bool
	// transactional is whether a snapshot covers the table's rows.
	transactional bool
	// key are the columns by which the table is cut, nil where it has no key.
	key []*column
	// cause says why a table's rows are not its own: it shows those of others.
	foreign bool
}

type kind uint8

const (
	table kind = iota
	view
	sequence
)

// column is a column of a table.
type column struct {
	name, dataType, columnType, charset string
	generated, period, auto             bool
	// scale marks a FLOAT or DOUBLE with a number of digits and of decimals.
	scale               bool
	precision, decimals int
}

func (s *Source) qualifier() string { return mysession.Literal(s.conn.Database()) }

// list reads what tables, views and sequences there are. The order is that of their names. It refuses tables that the server can't open;
// the others are returned then all the same.
func (s *Source) list(ctx context.Context, sess *mysession.Session) ([]*relation, error) {
	rows, err := sess.Named(ctx, `SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine, TABLE_ROWS AS nrows, DATA_LENGTH AS bytes, TABLE_COMMENT AS comment,
		(SELECT TRANSACTIONS FROM information_schema.ENGINES e WHERE e.ENGINE = t.ENGINE) AS transactions
		FROM information_schema.TABLES t WHERE TABLE_SCHEMA = `+s.qualifier()+` ORDER BY BINARY TABLE_NAME`)
	if err != nil {
		return nil, err
	}
	var out []*relation
	var names, broken []string
	s.leftOut = nil
	for _, r := range rows {
		rel := &relation{name: r["name"], engine: r["engine"], comment: r["comment"], transactional: r["transactions"] == "YES",
			bytes: number(r["bytes"]), rows: number(r["nrows"])}
		switch r["type"] {
		case "VIEW":
			rel.kind = view
		case "SEQUENCE":
			rel.kind = sequence
		case "BASE TABLE", "SYSTEM VERSIONED":
			rel.versioned = r["type"] == "SYSTEM VERSIONED"
		case "TEMPORARY":
			continue
		default:
			return nil, fmt.Errorf("%s is a %s, which pgmove doesn't know", rel.name, r["type"])
		}
		if mysession.IsLedger(rel.name, rel.comment) {
			continue
		}
		names = append(names, rel.name)
		if !s.picks.Takes(rel.name) {
			if rel.kind == table {
				s.leftOut = append(s.leftOut, rel.name)
			}
			continue
		}
		if rel.kind != view && rel.engine == "" {
			broken = append(broken, fmt.Sprintf("table %s (%s)", stream.Text(rel.name).Display(), stream.Text(rel.comment).Display()))
			continue
		}
		// Their rows are other tables', here or elsewhere.
		rel.foreign = slices.Contains([]string{"MRG_MYISAM", "MRG_MyISAM", "FEDERATED", "CONNECT", "SPIDER", "BLACKHOLE"}, rel.engine)
		out = append(out, rel)
	}
	if len(broken) > 0 {
		return out, (&stream.Failure{Kind: stream.Preflight, Object: s.conn.Name(), Msg: "the server cannot open " + strings.Join(broken, ", ")}).
			WithHint("repair or drop what it names: pgmove leaves nothing out")
	}
	return out, s.matched(names)
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// describe reads the tables' columns and keys.
func (s *Source) describe(ctx context.Context, sess *mysession.Session, rels []*relation) error {
	s.rels = make(map[string]*relation, len(rels))
	s.order = rels
	for _, r := range rels {
		s.rels[r.name] = r
	}
	rows, err := sess.Named(ctx, `SELECT TABLE_NAME AS t, COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS full, CHARACTER_SET_NAME AS cs, EXTRA AS extra,
		GENERATION_EXPRESSION AS expr, NUMERIC_SCALE AS scale, NUMERIC_PRECISION AS digits
		FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = `+s.qualifier()+` ORDER BY BINARY TABLE_NAME, ORDINAL_POSITION`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		rel := s.rels[r["t"]]
		if rel == nil || rel.kind != table {
			continue
		}
		extra, expr := strings.ToUpper(r["extra"]), strings.ToUpper(r["expr"])
		c := &column{name: r["name"], dataType: strings.ToLower(r["type"]), columnType: r["full"], charset: r["cs"],
			auto: strings.Contains(extra, "AUTO_INCREMENT"), period: expr == "ROW START" || expr == "ROW END"}
		_, c.scale = r["scale"]
		c.decimals = int(number(r["scale"]))
		c.precision = max(int(number(r["digits"])), c.decimals)
		c.generated = !c.period && (strings.Contains(extra, "VIRTUAL GENERATED") || strings.Contains(extra, "STORED GENERATED") ||
			strings.Contains(extra, "PERSISTENT") || expr != "")
		rel.columns = append(rel.columns, c)
	}
	for _, rel := range rels {
		if rel.versioned && !slices.ContainsFunc(rel.columns, func(c *column) bool { return c.period }) {
			for _, n := range []string{"row_start", "row_end"} { // the server's own, which it doesn't list
				rel.columns = append(rel.columns, &column{name: n, dataType: "timestamp", columnType: "timestamp(6)", period: true})
			}
		}
	}
	return s.readKeys(ctx, sess)
}

// readKeys finds for each table the key by which it is cut: the primary key, else a unique one without NULLs.
func (s *Source) readKeys(ctx context.Context, sess *mysession.Session) error {
	rows, err := sess.Named(ctx, `SELECT TABLE_NAME AS t, INDEX_NAME AS name, COLUMN_NAME AS col, SUB_PART AS part, NULLABLE AS nullable, INDEX_TYPE AS type
		FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = `+s.qualifier()+` AND NON_UNIQUE = 0
		ORDER BY BINARY TABLE_NAME, INDEX_NAME <> 'PRIMARY', BINARY INDEX_NAME, SEQ_IN_INDEX`)
	if err != nil {
		return err
	}
	for i := 0; i < len(rows); {
		j := i
		var key []*column
		whole, usable := true, true
		rel := s.rels[rows[i]["t"]]
		for ; j < len(rows) && rows[j]["t"] == rows[i]["t"] && rows[j]["name"] == rows[i]["name"]; j++ {
			r := rows[j]
			_, prefix := r["part"]
			c := rel.column(r["col"])
			usable = usable && r["nullable"] != "YES" && r["type"] != "HASH"
			// Up to the first column by which the server orders otherwise than it compares.
			whole = whole && c != nil && !prefix && c.ordered()
			if whole {
				key = append(key, c)
			}
		}
		if rel != nil && rel.key == nil && usable && len(key) > 0 {
			rel.key = key
		}
		i = j
	}
	return nil
}

func (r *relation) column(name string) *column {
	if r == nil {
		return nil
	}
	for _, c := range r.columns {
		if strings.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

// copied are the columns whose rows are moved: all but the generated ones, and those invisible among them.
func (r *relation) copied() []*column {
	var out []*column
	for _, c := range r.columns {
		if !c.generated {
			out = append(out, c)
		}
	}
	return out
}
