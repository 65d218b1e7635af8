package pgsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// Severities are the findings that Check knows; docs/check.md says what each means.
var Severities = map[string]stream.Severity{
	"source-unreachable":       stream.Block,
	"source-pooler":            stream.Block,
	"source-too-old":           stream.Block,
	"pg-dump-missing":          stream.Block,
	"ledger-schema":            stream.Block,
	"large-objects-unreadable": stream.Block,
	"row-security":             stream.Block,
	"schemas-unusable":         stream.Block,
	"tables-unreadable":        stream.Block,
	"sequences-unreadable":     stream.Block,
	"pg-dump-stale":            stream.Warn,
	"source-standby":           stream.Warn,
	"exclusive-locks":          stream.Warn,
	"prepared-transactions":    stream.Warn,
	"source-locks":             stream.Warn,
	"source-connections":       stream.Warn,
	"source-timeouts":          stream.Note,
	"tables-without-key":       stream.Note,
	"unlogged-tables":          stream.Note,
	"foreign-tables":           stream.Note,
	"generated-columns":        stream.Note,
	"large-objects":            stream.Note,
	"logical-slots":            stream.Note,
	"database-size":            stream.Note,
}

// Check finds what could stop or spoil a dump, and what the source will ask of a target. It only reads. Without full it looks for
// what blocks alone. Needs is nil where the source could not be asked; the error is then one that stands in the findings too.
func Check(ctx context.Context, conn *pgsession.Conn, o Options, full bool) (*stream.Needs, []stream.Finding, error) {
	f := &stream.Findings{Side: "source", Object: conn.Name(), Severities: Severities}
	s := &Source{conn: conn, opts: o, rels: map[uint32]*relation{}}
	if err := s.connect(ctx); err != nil {
		id := "source-unreachable"
		if errors.Is(err, pgsession.ErrPooler) {
			id = "source-pooler"
		}
		f.Failed(id, err)
		return nil, f.List, err
	}
	defer s.Close()
	c := &checking{Source: s, q: s.coordinator, found: f, needs: &stream.Needs{}}
	steps := []func(context.Context) error{c.refused, c.privileges, c.ask}
	if full {
		steps = append(steps, c.server, c.objects, c.activity)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, f.List, pgsession.Explain(err, conn.Name())
		}
	}
	c.needs.Source = s.facts
	return c.needs, f.List, nil
}

// checking is a check that goes on.
type checking struct {
	*Source
	q     *pgsession.Session
	found *stream.Findings
	needs *stream.Needs
}

// refused collects what a dump would refuse at its start.
func (c *checking) refused(ctx context.Context) error {
	list := append([]refusal{{"source-too-old", func(context.Context) error { return c.checkVersion() }}, {"pg-dump-missing", c.findTool}}, c.refusals()...)
	for _, r := range list {
		if err := r.check(ctx); err != nil {
			if err := c.found.Refused(r.id, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checking) findTool(ctx context.Context) (err error) {
	if c.tool, err = findTool(ctx, c.opts.BinDir, c.versnum); err != nil {
		return err
	}
	c.facts.DumpTool = c.tool.version
	if w := c.tool.staleFor(c.versnum); w != "" {
		c.found.Add("pg-dump-stale", w, "a newer server may have what this pg_dump prints in a form that no server takes")
	}
	return nil
}

// FindTool returns a Failure of kind Preflight unless there is a pg_dump for a server of that version.
func FindTool(ctx context.Context, binDir string, versionNum int) error {
	_, err := findTool(ctx, binDir, versionNum)
	return err
}

// privileges finds what the role may not read.
func (c *checking) privileges(ctx context.Context) error {
	tables, err := c.q.Rows(ctx, dumpable)
	if err != nil {
		return err
	}
	c.needs.Tables = len(tables)
	if !c.whole() {
		return nil // what is selected may well be readable
	}
	var denied [][]string
	for _, r := range tables {
		if r[3] != "t" {
			denied = append(denied, r[1:3])
		}
	}
	if len(denied) > 0 {
		if err := c.found.Refused("tables-unreadable", c.unreadable(denied)); err != nil {
			return err
		}
	}
	if !c.opts.Selection.Has(stream.Data) {
		return nil // neither rows nor sequences are read
	}
	const own = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '` + LedgerSchema + `')`
	rows, err := c.q.Rows(ctx, `SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE `+own+` AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
		AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'S')) ORDER BY 1`)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		err = c.found.Refused("schemas-unusable", (&stream.Failure{Kind: stream.Denied, Object: c.conn.Name(),
			Msg: fmt.Sprintf("role %s may not use schema %s", c.conn.User(), firsts(rows))}).
			WithHint("grant it pg_read_all_data, or USAGE on the schemas"))
		if err != nil {
			return err
		}
	}
	rows, err = c.q.Rows(ctx, `SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND `+own+` AND NOT CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') ELSE true END
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1259 AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2`)
	if err != nil || len(rows) == 0 {
		return err
	}
	return c.found.Refused("sequences-unreadable", (&stream.Failure{Kind: stream.Denied, Object: c.conn.Name(),
		Msg: fmt.Sprintf("role %s may not read sequence %s", c.conn.User(), nameList(rows))}).
		WithHint("grant it pg_read_all_data, or SELECT on the sequences"))
}

// ask notes what the target will have to offer.
func (c *checking) ask(ctx context.Context) (err error) {
	if err := c.readRoles(ctx, c.q); err != nil || !c.whole() {
		return err
	}
	// An object of each owner, inside and outside public, and in each tablespace stands for all that are like it.
	rows, err := c.q.Rows(ctx, `WITH ns AS (SELECT oid, nspname, nspowner FROM pg_catalog.pg_namespace n WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '`+LedgerSchema+`')
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 2615 AND d.objid = n.oid AND d.deptype IN ('e', 'i')))
		SELECT 'SCHEMA', '', nspname, pg_catalog.pg_get_userbyid(nspowner), '' FROM ns WHERE nspname <> 'public'
		UNION ALL SELECT 'EXTENSION', extversion, extname, '', '' FROM pg_catalog.pg_extension WHERE oid >= 16384
		UNION ALL SELECT 'TABLE', min(n.nspname), min(c.relname), pg_catalog.pg_get_userbyid(c.relowner), coalesce(t.spcname, '')
		FROM pg_catalog.pg_class c JOIN ns n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace
		WHERE c.relpersistence <> 't' AND (c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') OR c.relkind IN ('i', 'I') AND c.reltablespace <> 0)
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1259 AND d.objid = c.oid AND d.deptype IN ('e', 'i')) GROUP BY c.relowner, t.spcname, n.nspname = 'public'
		UNION ALL SELECT 'TYPE', min(n.nspname), min(y.typname), pg_catalog.pg_get_userbyid(y.typowner), '' FROM pg_catalog.pg_type y JOIN ns n ON n.oid = y.typnamespace
		WHERE y.typtype IN ('d', 'e', 'r') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1247 AND d.objid = y.oid AND d.deptype IN ('e', 'i')) GROUP BY y.typowner, n.nspname = 'public'
		UNION ALL SELECT 'TYPE', min(n.nspname), min(p.proname) || '()', pg_catalog.pg_get_userbyid(p.proowner), '' FROM pg_catalog.pg_proc p JOIN ns n ON n.oid = p.pronamespace
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 1255 AND d.objid = p.oid AND d.deptype IN ('e', 'i')) GROUP BY p.proowner, n.nspname = 'public'`)
	if err != nil {
		return err
	}
	if c.opts.Roles && c.tool != nil {
		if c.needs.Roles, err = c.Roles(ctx); err != nil {
			return err
		}
	}
	c.needs.Extensions = map[stream.Text]string{}
	for _, r := range rows {
		e := stream.Entry{Desc: stream.Text(r[0]), Namespace: stream.Text(r[1]), Tag: stream.Text(r[2]), Owner: stream.Text(r[3]), Tablespace: stream.Text(r[4])}
		if r[0] == "EXTENSION" {
			c.needs.Extensions[e.Tag], e.Namespace = r[1], ""
		}
		c.needs.Entries = append(c.needs.Entries, e)
	}
	return nil
}
