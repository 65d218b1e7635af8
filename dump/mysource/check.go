package mysource

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// Severities are the findings that Check knows; docs/check.md says what each means.
var Severities = map[string]stream.Severity{
	"source-unreachable":       stream.Block,
	"source-too-old":           stream.Block,
	"source-privileges":        stream.Block,
	"routines-unreadable":      stream.Block,
	"tables-unopenable":        stream.Block,
	"tables-unlockable":        stream.Block,
	"triggers-elsewhere":       stream.Block,
	"single-session":           stream.Warn,
	"tables-not-transactional": stream.Warn,
	"views-broken":             stream.Warn,
	"foreign-keys-elsewhere":   stream.Warn,
	"exclusive-locks":          stream.Warn,
	"prepared-transactions":    stream.Warn,
	"source-connections":       stream.Warn,
	"snapshot-by":              stream.Note,
	"no-binary-log":            stream.Note,
	"tables-without-key":       stream.Note,
	"generated-columns":        stream.Note,
	"foreign-tables":           stream.Note,
	"database-size":            stream.Note,
}

// Check finds what could stop or spoil a dump, and what the source will ask of a target. It only reads, and locks nothing. Without full it
// looks for what blocks alone. Needs is nil where the source could not be asked; the error is then one that stands in the findings too.
func Check(ctx context.Context, conn *mysession.Conn, o Options, full bool) (*stream.Needs, []stream.Finding, error) {
	f := &stream.Findings{Side: "source", Object: conn.Name(), Severities: Severities}
	s, err := connect(ctx, conn, o)
	if err != nil {
		f.Failed("source-unreachable", err)
		return nil, f.List, err
	}
	defer s.Close()
	c := &checking{Source: s, q: s.control, found: f, needs: &stream.Needs{Source: s.facts}}
	if err := s.checkVersion(ctx); err != nil {
		return nil, f.List, f.Refused("source-too-old", err) // its catalogs are others
	}
	steps := []func(context.Context) error{c.privileges, c.tables, c.programs, c.ask}
	blocking := len(steps)
	if full {
		steps = append(steps, c.snapshot, c.server, c.objects, c.activity)
	}
	for i, step := range steps {
		// What the account may not look up is left out, where that doesn't matter or was told.
		if err := step(ctx); err != nil && !(mysession.Denied(err) && (c.poor || i >= blocking)) {
			return nil, f.List, mysession.Explain(err, conn.Name())
		}
	}
	return c.needs, f.List, nil
}

// checking is a check that goes on.
type checking struct {
	*Source
	q     *mysession.Session
	found *stream.Findings
	needs *stream.Needs
	may   mysession.Privileges
	poor  bool // something can't be looked up, which is told
	rels  []*relation
	moved map[string]bool // their names
	rows  mysession.Table // of sketches
}

func (c *checking) privileges(ctx context.Context) (err error) {
	if c.may, err = c.q.Grants(ctx); err != nil {
		return err
	}
	if err := c.checkGrants(ctx); err != nil {
		c.poor = true
		return c.found.Refused("source-privileges", err)
	}
	return nil
}

// tables refuses those that could not be read, or not under one snapshot.
func (c *checking) tables(ctx context.Context) (err error) {
	if c.rels, err = c.list(ctx, c.q); err != nil {
		if err := c.found.Refused("tables-unopenable", err); err != nil {
			return err
		}
	}
	c.moved = make(map[string]bool, len(c.rels))
	for _, r := range c.rels {
		c.moved[r.name] = true
	}
	_, shown := c.uncovered(c.rels)
	if len(shown) == 0 {
		return nil
	}
	if !c.may.Has("LOCK TABLES") {
		return c.found.Refused("tables-unlockable", c.mayNotLock(shown, nil))
	}
	c.found.Add("tables-not-transactional", fmt.Sprintf("tables that are not transactional (%d): %s; no snapshot covers their rows, and they stay locked against writers until all is read", len(shown), stream.First(shown)),
		"convert them to InnoDB, or move when their writers can wait")
	return nil
}

// sketches list the programs: whose each is, under which settings it was written, and what it does, as far as the account may see that.
// Each is a query of its own: MySQL may not mix their columns' collations.
var sketches = []string{
	`SELECT 'VIEW' AS kind, TABLE_NAME AS name, TABLE_NAME AS owner, DEFINER AS definer, CHARACTER_SET_CLIENT AS character_set_client, COLLATION_CONNECTION AS collation_connection
		FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()`,
	`SELECT 'TRIGGER' AS kind, TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS owner, DEFINER AS definer, SQL_MODE AS sql_mode, CHARACTER_SET_CLIENT AS character_set_client,
		COLLATION_CONNECTION AS collation_connection, ACTION_STATEMENT AS body FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()`,
	`SELECT UPPER(ROUTINE_TYPE) AS kind, ROUTINE_NAME AS name, DEFINER AS definer, SQL_MODE AS sql_mode, CHARACTER_SET_CLIENT AS character_set_client,
		COLLATION_CONNECTION AS collation_connection, ROUTINE_DEFINITION AS body FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()`,
	`SELECT 'EVENT' AS kind, EVENT_NAME AS name, DEFINER AS definer, SQL_MODE AS sql_mode, TIME_ZONE AS time_zone, CHARACTER_SET_CLIENT AS character_set_client,
		COLLATION_CONNECTION AS collation_connection, EVENT_DEFINITION AS body, STATUS AS status FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()`,
}

// shortDates is what the tables of routines and events of MariaDB, and of MySQL 5.7, call a mode that SHOW CREATE, and SET, call ALLOW_INVALID_DATES.
var shortDates = regexp.MustCompile(`(^|,)INVALID_DATES\b`)

// programs refuses those that can't be read whole, or would be made elsewhere.
func (c *checking) programs(ctx context.Context) (err error) {
	for _, q := range sketches {
		rows, err := c.q.Named(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if mode, ok := r["sql_mode"]; ok {
				r["sql_mode"] = shortDates.ReplaceAllString(mode, "${1}ALLOW_INVALID_DATES")
			}
			if owner, ok := r["owner"]; !ok && c.opts.Selection.Everything() || c.moved[owner] {
				c.rows = append(c.rows, r)
			}
		}
	}
	var hidden []string
	for _, r := range c.rows {
		_, seen := r["body"]
		switch {
		case r["kind"] == descTrigger:
			if _, _, err := c.trigger(ctx, c.q, r["name"]); err != nil {
				if err := c.found.Refused("triggers-elsewhere", err); err != nil {
					return err
				}
			}
		case !seen && r["kind"] != descView && r["kind"] != descEvent:
			if _, create, err := routine(ctx, c.q, r["kind"], r["name"]); err != nil {
				return err
			} else if create == "" {
				hidden = append(hidden, strings.ToLower(r["kind"])+" "+stream.Text(r["name"]).Display())
			}
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	return c.found.Refused("routines-unreadable", unseen(c.conn.Name(), stream.First(hidden)))
}

// ask notes what the target will have to take: a sketch of each entry, without what defines it.
func (c *checking) ask(ctx context.Context) error {
	add := func(e stream.Entry) { c.needs.Entries = append(c.needs.Entries, e) }
	for _, r := range c.rels {
		name := stream.Text(r.name)
		switch r.kind {
		case table:
			c.needs.Tables++
			add(stream.Entry{Section: stream.PreData, Desc: descTable, Tag: name, AccessMethod: stream.Text(r.engine)})
			if r.versioned && r.engine != "" {
				c.needs.Versioned = append(c.needs.Versioned, name.Display())
			}
		case sequence:
			add(stream.Entry{Section: stream.PreData, Desc: descSequence, Tag: name})
		}
	}
	for _, r := range c.rows {
		e := stream.Entry{Section: stream.PostData, Desc: stream.Text(r["kind"]), Tag: stream.Text(r["name"]), Owner: stream.Text(quotedAccount(r["definer"]))}
		if settings := settingsOf(r); len(settings) > 0 {
			e.Defn = stream.Text(mysession.Program(settings, ""))
		}
		add(e)
		if r["kind"] == descEvent && strings.HasPrefix(strings.ToUpper(r["status"]), "ENABLE") {
			c.needs.Running = append(c.needs.Running, e.Name())
		}
	}
	rows, err := c.q.Rows(ctx, "SELECT DISTINCT TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()")
	if err != nil {
		return err
	}
	for _, r := range rows {
		if c.moved[r[0]] {
			add(stream.Entry{Section: stream.PostData, Desc: descForeign, Tag: stream.Text(r[0])})
		}
	}
	return c.askMore(ctx)
}

// askMore notes collations, and tables without a primary key.
func (c *checking) askMore(ctx context.Context) error {
	for _, q := range []string{"SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()",
		"SELECT DISTINCT TABLE_COLLATION, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
		"SELECT DISTINCT COLLATION_NAME, TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"} {
		rows, err := c.q.Rows(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r[0] != "" && (len(r) == 1 || c.moved[r[1]]) && !slices.Contains(c.needs.Collations, r[0]) {
				c.needs.Collations = append(c.needs.Collations, r[0])
			}
		}
	}
	rows, err := c.q.Rows(ctx, "SELECT TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_TYPE = 'PRIMARY KEY'")
	if err != nil {
		return err
	}
	keyed := map[string]bool{}
	for _, r := range rows {
		keyed[r[0]] = true
	}
	for _, r := range c.rels {
		if r.kind == table && r.engine == "InnoDB" && !keyed[r.name] {
			c.needs.Keyless = append(c.needs.Keyless, stream.Text(r.name).Display())
		}
	}
	return nil
}

// quotedAccount writes an account, as catalogs have it, as definitions do. A role has no host.
func quotedAccount(s string) string {
	i := strings.LastIndexByte(s, '@')
	if i < 0 || i == len(s)-1 {
		return mysession.Ident(strings.TrimSuffix(s, "@"))
	}
	return mysession.Ident(s[:i]) + "@" + mysession.Ident(s[i+1:])
}
