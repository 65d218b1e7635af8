package floor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Plan is all that can be known of a source before the clock runs. It is kept as JSON.
type Plan struct {
	Pre       []string // before the rows
	Sequences []string // the sequences' values
	Tables    []*Table // those with rows of their own
	Parents   []Parent // partitioned tables
	Keys      []Key    // foreign keys
	Views     []View   // materialized
	Last      []string // what else there is
}

// Table is a table with its indexes.
type Table struct {
	Name    string // as SQL has it
	Parent  string // of a partition
	Bytes   int64
	Pages   int64
	Indexes []Index
}

// Index is an index or a constraint that is one. Large tables build constraints in two
// steps, since ALTER TABLE lets nobody else build beside it.
type Index struct {
	Whole  string // the statement as pg_dump has it
	Build  string // the index alone
	Attach string // what makes the constraint of it; "" where there is none
	Heavy  bool   // not a btree
}

// Parent is a partitioned table.
type Parent struct {
	Name   string
	Before []string // its indexes, empty shells
	After  []string // what attaches the partitions' indexes
}

// Key is a foreign key.
type Key struct{ Table, Refers, SQL string }

// View is a materialized view with its indexes.
type View struct {
	SQL     string
	Indexes []string
}

// entry is one of pg_dump's entries.
type entry struct{ name, kind, schema, sql string }

var (
	header     = regexp.MustCompile(`(?m)^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n--\n`)
	indexOn    = regexp.MustCompile(` ON (?:ONLY )?(\S+) USING (\w+)`)
	constraint = regexp.MustCompile(`(?s)^\s*ALTER TABLE ONLY (\S+)\s+ADD CONSTRAINT (\S+) (PRIMARY KEY|UNIQUE) (\(.*\));`)
	foreign    = regexp.MustCompile(`(?s)^\s*ALTER TABLE (?:ONLY )?(\S+)\s.* REFERENCES ([^(\s]+)`)
	meta       = regexp.MustCompile(`(?m)^\\.*\n`)
)

// parse takes the text of pg_dump apart, at the comments before each entry.
func parse(text string) []entry {
	text = meta.ReplaceAllString(text, "")
	at := header.FindAllStringSubmatchIndex(text, -1)
	out := make([]entry, len(at))
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		out[i] = entry{name: text[m[2]:m[3]], kind: text[m[4]:m[5]], schema: text[m[6]:m[7]], sql: text[m[1]:end]}
	}
	return out
}

// Prepare reads a source's schema with the pg_dump in bin, and its catalog.
func Prepare(ctx context.Context, bin, source string) (_ *Plan, err error) {
	p := &Plan{}
	pre, err := schema(ctx, bin, source, "pre-data")
	if err != nil {
		return nil, err
	}
	for _, e := range pre {
		p.Pre = append(p.Pre, e.sql)
	}
	c, err := pgconn.Connect(ctx, source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx))) }()
	if err := p.catalog(ctx, c); err != nil {
		return nil, err
	}
	post, err := schema(ctx, bin, source, "post-data")
	if err != nil {
		return nil, err
	}
	return p, p.place(post)
}

func schema(ctx context.Context, bin, source, section string) ([]entry, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_dump"), "--section="+section, "--dbname="+source)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pg_dump: %w: %s", err, stderr.String())
	}
	return parse(string(b)), nil
}

// catalog reads tables, their sizes, and the sequences' values.
func (p *Plan) catalog(ctx context.Context, c *pgconn.PgConn) error {
	res, err := c.Exec(ctx, `SET search_path = '';
		SELECT c.relkind, c.oid::regclass::text, coalesce(i.inhparent::regclass::text, ''), pg_table_size(c.oid), c.relpages
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
			WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
			ORDER BY 4 DESC, 2;
		SELECT format('SELECT format(''SELECT pg_catalog.setval(%%L, %%s, %%L);'', %L, last_value, is_called) FROM %I.%I;', format('%I.%I', schemaname, sequencename), schemaname, sequencename)
			FROM pg_sequences ORDER BY 1;`).ReadAll()
	if err != nil {
		return err
	}
	for _, r := range res[1].Rows {
		if string(r[0]) == "p" {
			p.Parents = append(p.Parents, Parent{Name: string(r[1])})
			continue
		}
		t := &Table{Name: string(r[1]), Parent: string(r[2])}
		bytes, err1 := strconv.ParseInt(string(r[3]), 10, 64)
		pages, err2 := strconv.ParseInt(string(r[4]), 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		t.Bytes, t.Pages = bytes, pages
		p.Tables = append(p.Tables, t)
	}
	// pg_sequences does not tell the value of one that was set and never called.
	var values strings.Builder
	for _, r := range res[2].Rows {
		values.Write(r[0])
	}
	res, err = c.Exec(ctx, values.String()).ReadAll()
	for _, q := range res {
		for _, r := range q.Rows {
			p.Sequences = append(p.Sequences, string(r[0]))
		}
	}
	return err
}

// place puts each entry of the post-data section where its turn will come.
func (p *Plan) place(post []entry) error {
	tables := map[string]*Table{}
	for _, t := range p.Tables {
		tables[t.Name] = t
	}
	parents := map[string]*Parent{}
	for i := range p.Parents {
		parents[p.Parents[i].Name] = &p.Parents[i]
	}
	views := map[string]*View{}
	var order []string
	var attach []string
	for _, e := range post {
		switch e.kind {
		case "CONSTRAINT", "INDEX":
			ix, on, err := index(e)
			if err != nil {
				return err
			}
			switch {
			case tables[on] != nil:
				tables[on].Indexes = append(tables[on].Indexes, ix)
			case parents[on] != nil:
				parents[on].Before = append(parents[on].Before, e.sql)
			default: // a materialized view's
				if views[on] == nil {
					views[on] = &View{}
				}
				views[on].Indexes = append(views[on].Indexes, e.sql)
			}
		case "INDEX ATTACH":
			attach = append(attach, e.sql)
		case "FK CONSTRAINT":
			m := foreign.FindStringSubmatch(e.sql)
			if m == nil {
				return fmt.Errorf("not understood: %s", e.sql)
			}
			p.Keys = append(p.Keys, Key{Table: m[1], Refers: m[2], SQL: e.sql})
		case "MATERIALIZED VIEW DATA":
			name := e.schema + "." + e.name
			if views[name] == nil {
				views[name] = &View{}
			}
			views[name].SQL = e.sql
			order = append(order, name)
		default:
			p.Last = append(p.Last, e.sql)
		}
	}
	for _, name := range order {
		p.Views = append(p.Views, *views[name])
	}
	if len(p.Parents) > 0 {
		// They do not say whose they are; all of them are cheap.
		p.Parents[len(p.Parents)-1].After = attach
	}
	return nil
}

// index reads the statement of an index and the table it is on.
func index(e entry) (ix Index, on string, err error) {
	ix = Index{Whole: e.sql, Build: e.sql}
	if e.kind == "INDEX" {
		m := indexOn.FindStringSubmatch(e.sql)
		if m == nil {
			return ix, "", fmt.Errorf("not understood: %s", e.sql)
		}
		ix.Heavy = m[2] != "btree"
		return ix, m[1], nil
	}
	m := constraint.FindStringSubmatch(e.sql)
	if m == nil {
		return ix, "", fmt.Errorf("not understood: %s", e.sql)
	}
	ix.Build = fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s %s;", m[2], m[1], m[4])
	ix.Attach = fmt.Sprintf("ALTER TABLE ONLY %s ADD CONSTRAINT %s %s USING INDEX %s;", m[1], m[2], m[3], m[2])
	return ix, m[1], nil
}
