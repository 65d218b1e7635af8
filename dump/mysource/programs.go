package mysource

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// program makes an entry of what SHOW CREATE printed for a view, trigger, routine or event: create and the
// settings of its author. Where the account may not see it, the server prints NULL.
func (r *reader) program(e stream.Entry, row map[string]string, create string) (stream.DumpID, error) {
	if create == "" {
		return 0, unseen(e.Name(), "this "+strings.ToLower(string(e.Desc)))
	}
	// MySQL keeps the semicolon of one that was made among other statements, and drops it where it is made alone.
	create = strings.TrimRight(create, "; \t\r\n")
	account, _, _ := mysession.Definer(create)
	if account != "" {
		r.definers[account] = true
	}
	e.Section, e.Owner = stream.PostData, stream.Text(account)
	e.Defn = stream.Text(mysession.Program(settingsOf(row), create))
	return r.add(e), nil
}

// unseen refuses an account that may not see the definition of a program.
func unseen(object, what string) error {
	return (&stream.Failure{Kind: stream.Denied, Object: object, Msg: "the account may not see the definition of " + what}).
		WithHint("run as an account that may read all routines: its definer, or one with SELECT on mysql.proc (MariaDB) or SHOW_ROUTINE (MySQL)")
}

// settingsOf are the settings under which a program was written, as assignments.
func settingsOf(row map[string]string) (settings []string) {
	for _, name := range []string{"sql_mode", "time_zone"} {
		if v, ok := row[name]; ok {
			settings = append(settings, name+" = "+mysession.Literal(v))
		}
	}
	for _, name := range []string{"character_set_client", "collation_connection"} {
		if v := row[name]; v != "" {
			settings = append(settings, name+" = "+v)
		}
	}
	return settings
}

// readRoutines reads functions, procedures and packages. They come before views, which may call them; servers look
// at what a routine itself names when it is called.
func (r *reader) readRoutines(ctx context.Context) error {
	if !r.s.opts.Selection.Everything() {
		return nil
	}
	rows, err := r.sess.Rows(ctx, "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = "+r.s.qualifier()+
		" ORDER BY ROUTINE_TYPE = 'PACKAGE BODY', BINARY ROUTINE_TYPE, BINARY ROUTINE_NAME")
	if err != nil {
		return err
	}
	for _, row := range rows {
		kind, name := strings.ToUpper(row[0]), row[1]
		if !slices.Contains([]string{"FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY"}, kind) {
			return fmt.Errorf("routine %s is a %s, which pgmove doesn't know", name, kind)
		}
		made, create, err := routine(ctx, r.sess, kind, name)
		if err != nil {
			return err
		}
		e := stream.Entry{Desc: stream.Text(kind), Tag: stream.Text(name), DropStmt: stream.Text("DROP " + kind + " " + mysession.Ident(name))}
		if kind == "PACKAGE BODY" {
			e.Dependencies = slices.Clone(r.routines)
		}
		id, err := r.program(e, made, create)
		if err != nil {
			return err
		}
		r.routines = append(r.routines, id)
	}
	return nil
}

// routine reads what SHOW CREATE prints of a routine, and the statement that makes it; "" where the account may not see it.
func routine(ctx context.Context, sess *mysession.Session, kind, name string) (map[string]string, string, error) {
	made, err := sess.Named(ctx, "SHOW CREATE "+kind+" "+mysession.Ident(name))
	if err != nil {
		return nil, "", err
	}
	if len(made) == 0 {
		return nil, "", fmt.Errorf("%s %s is gone", strings.ToLower(kind), name)
	}
	word := map[string]string{"FUNCTION": "Create Function", "PROCEDURE": "Create Procedure", "PACKAGE": "Create Package", "PACKAGE BODY": "Create Package Body"}[kind]
	return made[0], made[0][word], nil
}

// readViews reads views, each after those that it reads. MariaDB has no list of what a view reads (MySQL's
// VIEW_TABLE_USAGE came with 8.0), so it is taken from the text that the server prints: names after FROM and JOIN.
func (r *reader) readViews(ctx context.Context) error {
	rows := map[string]map[string]string{}
	var names []string
	for _, rel := range r.s.order {
		if rel.kind != view {
			continue
		}
		made, err := r.sess.Named(ctx, "SHOW CREATE VIEW "+mysession.Ident(rel.name))
		if err != nil {
			return fmt.Errorf("view %s: %w", stream.Text(rel.name).Display(), err)
		}
		rows[rel.name] = made[0]
		names = append(names, rel.name)
	}
	ids := map[string]stream.DumpID{}
	open := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if ids[name] != 0 || open[name] {
			return nil
		}
		open[name] = true
		create := mysession.WithoutDatabase(rows[name]["Create View"], r.s.conn.Database())
		e := stream.Entry{Desc: descView, Tag: stream.Text(name), Dependencies: slices.Clone(r.routines),
			DropStmt: stream.Text("DROP VIEW " + mysession.Ident(name))}
		for _, from := range mysession.From(create, r.s.conn.Database()) {
			if rows[from] != nil && from != name {
				if err := visit(from); err != nil {
					return err
				}
			}
			for _, id := range []stream.DumpID{ids[from], r.tables[from]} {
				if id != 0 && !contains(e.Dependencies, id) {
					e.Dependencies = append(e.Dependencies, id)
				}
			}
		}
		id, err := r.program(e, rows[name], create)
		ids[name] = id
		return err
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// readTriggers reads triggers in the order in which those of one table and event fire, which is the order in which they are made.
func (r *reader) readTriggers(ctx context.Context) error {
	rows, err := r.sess.Rows(ctx, "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = "+r.s.qualifier()+
		" ORDER BY BINARY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER")
	if err != nil {
		return err
	}
	before := map[string]stream.DumpID{}
	for _, row := range rows {
		name, table := row[0], row[1]
		if r.tables[table] == 0 {
			continue // its table is not moved
		}
		made, create, err := r.s.trigger(ctx, r.sess, name)
		if err != nil {
			return err
		}
		e := stream.Entry{Desc: descTrigger, Tag: stream.Text(name), DropStmt: stream.Text("DROP TRIGGER " + mysession.Ident(name)), Locks: []stream.DumpID{r.tables[table]}}
		for _, id := range []stream.DumpID{r.tables[table], r.indexes[table], r.foreign[table], before[table]} {
			if id != 0 {
				e.Dependencies = append(e.Dependencies, id)
			}
		}
		if before[table], err = r.program(e, made, create); err != nil {
			return err
		}
	}
	return nil
}

// trigger reads what SHOW CREATE prints of a trigger, and the statement that makes it in whatever database; "" where the account
// may not see it.
func (s *Source) trigger(ctx context.Context, sess *mysession.Session, name string) (map[string]string, string, error) {
	made, err := sess.Named(ctx, "SHOW CREATE TRIGGER "+mysession.Ident(name))
	if err != nil {
		return nil, "", err
	}
	create := made[0]["SQL Original Statement"]
	if create == "" {
		return made[0], "", nil
	}
	create, ok := mysession.TriggerInPlace(create, s.conn.Database())
	if !ok {
		return nil, "", (&stream.Failure{Kind: stream.Preflight, Object: stream.Text(name).Display(), Msg: "the trigger's text names another database, and would be made there"}).
			WithHint("drop and create it without a database's name before its own and its table's")
	}
	return made[0], create, nil
}

// readEvents reads events. They come last of all, since they run by themselves.
func (r *reader) readEvents(ctx context.Context) error {
	if !r.s.opts.Selection.Everything() {
		return nil
	}
	rows, err := r.sess.Rows(ctx, "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = "+r.s.qualifier()+" ORDER BY BINARY EVENT_NAME")
	if err != nil {
		return err
	}
	for _, row := range rows {
		made, err := r.sess.Named(ctx, "SHOW CREATE EVENT "+mysession.Ident(row[0]))
		if err != nil {
			return err
		}
		e := stream.Entry{Desc: descEvent, Tag: stream.Text(row[0]), Pass: stream.LastPass, DropStmt: stream.Text("DROP EVENT " + mysession.Ident(row[0]))}
		if _, err := r.program(e, made[0], made[0]["Create Event"]); err != nil {
			return err
		}
	}
	return nil
}

// roles are the accounts that programs name as definers.
func (r *reader) roles() []stream.RoleUse {
	var out []stream.RoleUse
	for _, name := range slices.Sorted(maps.Keys(r.definers)) {
		out = append(out, stream.RoleUse{Name: stream.Text(name), Owner: true})
	}
	return out
}
