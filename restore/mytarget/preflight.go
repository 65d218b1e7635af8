package mytarget

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// occupants lists what a new database doesn't hold. Triggers come with their tables.
const occupants = `SELECT LOWER(REPLACE(TABLE_TYPE, 'BASE TABLE', 'TABLE')), TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
	UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
	UNION ALL SELECT 'event', EVENT_NAME, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()
	LIMIT 1000`

// CheckEmpty refuses a target that another run holds, that takes no rows from here, or that holds anything.
func (t *Target) CheckEmpty(ctx context.Context) error {
	if err := t.hold(ctx); err != nil {
		return err
	}
	if err := t.checkLoads(ctx); err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	rows, err := t.control.Rows(ctx, occupants)
	if err != nil {
		return mysession.Explain(err, t.conn.Name())
	}
	if len(rows) == 0 {
		return nil
	}
	var names []string
	unfinished := false
	for _, r := range rows {
		if mysession.IsLedger(r[1], r[2]) {
			unfinished = true
			continue
		}
		if len(names) < 5 {
			names = append(names, r[0]+" "+stream.Text(r[1]).Display())
		}
	}
	f := &stream.Failure{Kind: stream.Preflight, Object: t.conn.Name()}
	if unfinished {
		f.Msg = "the target is not empty: a pgmove run began there and did not finish"
		return f.WithHint("run again with --resume to go on where it stopped; or drop and create the database, then run again")
	}
	f.Msg = fmt.Sprintf("the target is not empty: it holds %s", strings.Join(names, ", "))
	if n := len(rows) - len(names); n > 0 {
		f.Msg += fmt.Sprintf(" and %d more", n)
	}
	return f.WithHint("create an empty database for the move; pgmove replaces nothing unless --clean asks for it")
}

// checkLoads refuses a server that takes no LOAD DATA LOCAL, or would change what it loads.
func (t *Target) checkLoads(ctx context.Context) error {
	v := t.control.Version
	if old := map[bool]int{true: 10030000, false: 5070000}[v.MariaDB]; v.Num < old {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: v.Name() + " is too old"}).
			WithHint("pgmove restores to MariaDB 10.3 and newer, and MySQL 5.7 and newer")
	}
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.local_infile, @@GLOBAL.read_only")
	if err != nil {
		return err
	}
	if row[0] != "1" && row[0] != "ON" {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "the server's setting local_infile is off, and rows are loaded by LOAD DATA LOCAL"}).
			WithHint("SET GLOBAL local_infile = ON there; on RDS and Aurora set local_infile to 1 in the parameter group of the instance or cluster")
	}
	if row[1] != "0" && row[1] != "OFF" && row[1] != "" {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "the server is read-only (read_only)"}).
			WithHint("give the writer's address, not that of a replica")
	}
	return nil
}

// checkKinds refuses entries of kinds that the server doesn't have: storage engines, sequences, packages.
func (t *Target) checkKinds(ctx context.Context, entries []stream.Entry) error {
	rows, err := t.control.Rows(ctx, "SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')")
	if err != nil {
		return err
	}
	engines := map[string]bool{"": true}
	for _, r := range rows {
		engines[strings.ToLower(r[0])] = true
	}
	missing := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Desc == "TABLE" && !engines[strings.ToLower(string(e.AccessMethod))]:
			missing["storage engine "+e.AccessMethod.Display()+" of table "+e.Name()] = true
		case !t.control.Version.MariaDB && (e.Desc == "SEQUENCE" || strings.HasPrefix(string(e.Desc), "PACKAGE")):
			missing[strings.ToLower(string(e.Desc))+" "+e.Name()] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: fmt.Sprintf("%s cannot take %s", t.control.Version.Name(), list(missing))}).
		WithHint("install the engine there, or change what needs it on the source")
}

// checkNames refuses names that the server would not keep apart, or would change.
func (t *Target) checkNames(ctx context.Context, entries []stream.Entry) error {
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.lower_case_table_names")
	if err != nil || row[0] != "1" {
		return err
	}
	changed := map[string]bool{}
	for i := range entries {
		if e := &entries[i]; (e.Desc == "TABLE" || e.Desc == "VIEW") && strings.ToLower(string(e.Tag)) != string(e.Tag) {
			changed[e.Name()] = true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: "the server writes all names in lower case (lower_case_table_names = 1), and these would change: " + list(changed)}).
		WithHint("restore to a server with lower_case_table_names = 0, which is set when it is created, or rename them on the source")
}

// needs are the privileges that kinds of entries need on the database.
var needs = map[string][]string{
	"VIEW": {"CREATE VIEW"}, "TRIGGER": {"TRIGGER"}, "EVENT": {"EVENT"}, "FK CONSTRAINT": {"REFERENCES"},
	"FUNCTION": {"CREATE ROUTINE"}, "PROCEDURE": {"CREATE ROUTINE"}, "PACKAGE": {"CREATE ROUTINE"},
}

// checkPrivileges refuses an account that could not make everything.
func (t *Target) checkPrivileges(ctx context.Context, entries []stream.Entry) error {
	p, err := t.control.Grants(ctx)
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	ask := func(names []string) {
		for _, n := range names {
			if !p.Has(n) {
				missing[n] = true
			}
		}
	}
	ask([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX"})
	definers, routines := map[string]bool{}, map[string]bool{}
	logged := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		ask(needs[string(e.Desc)])
		if d := t.opts.Definer.of(e); d != "" {
			definers[d] = true
			if needs[string(e.Desc)] != nil && needs[string(e.Desc)][0] == "CREATE ROUTINE" {
				routines[d] = true
			}
		}
		if e.Desc == "TRIGGER" || e.Desc == "FUNCTION" {
			logged[strings.ToLower(string(e.Desc))+" "+e.Name()] = true
		}
	}
	if len(missing) > 0 {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("the account %s lacks %s on the database", stream.Text(t.conn.User()).Display(), list(missing))}).
			WithHint("GRANT ALL PRIVILEGES ON the database to it; the move needs nothing beyond it")
	}
	if err := t.checkLogged(ctx, p, logged); err != nil {
		return err
	}
	return t.checkDefiners(ctx, p, definers, routines)
}

// checkLogged: a server with a binary log refuses triggers and functions of who is not all-powerful.
func (t *Target) checkLogged(ctx context.Context, p mysession.Privileges, made map[string]bool) error {
	if len(made) == 0 || p.Everywhere("SUPER") {
		return nil
	}
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators")
	if err != nil || row[0] != "1" || row[1] == "1" {
		return err
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: "with its binary log on, the server refuses " + list(made) + " of this account"}).
		WithHint("SET GLOBAL log_bin_trust_function_creators = ON there, on RDS and Aurora in the parameter group; or run as an account with SUPER")
}

// checkDefiners refuses definers that the account may not name, those of routines which it then could not read back, and
// warns of those who are not there.
func (t *Target) checkDefiners(ctx context.Context, p mysession.Privileges, definers, routines map[string]bool) error {
	row, err := t.control.Row(ctx, "SELECT CURRENT_USER()")
	if err != nil {
		return err
	}
	user, host, _ := strings.Cut(row[0], "@")
	if i := strings.LastIndexByte(row[0], '@'); i >= 0 {
		user, host = row[0][:i], row[0][i+1:]
	}
	own := mysession.Ident(user) + "@" + mysession.Ident(host)
	delete(definers, own)
	delete(routines, own)
	if len(definers) == 0 {
		return nil
	}
	if !p.Everywhere("SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER") {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("the account %s may make nothing that runs as another one, and definers are %s", stream.Text(t.conn.User()).Display(), list(definers))}).
			WithHint("make it the definer by --definer strip, name one it may by --definer USER@HOST, or grant it SET USER (MariaDB), SET_ANY_DEFINER or SET_USER_ID (MySQL)")
	}
	if t.opts.ReadBack && len(routines) > 0 && !p.ReadsRoutines(t.control.Version) {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("the account %s could not read back, to compare them, routines whose definers are %s", stream.Text(t.conn.User()).Display(), list(routines))}).
			WithHint("grant it SELECT on mysql.proc (MariaDB) or SHOW_ROUTINE (MySQL), make it the definer by --definer strip, or give --no-schema-check")
	}
	rows, err := t.control.Rows(ctx, "SELECT User, Host FROM mysql.user")
	if mysession.Denied(err) {
		return nil // it may not see who there is
	}
	if err != nil {
		return err
	}
	for _, r := range rows {
		delete(definers, mysession.Ident(r[0])+"@"+mysession.Ident(r[1]))
	}
	if len(definers) > 0 {
		t.warn("definers have no account on the target, and what runs as them fails when it is used: %s", list(definers))
	}
	return nil
}

// list names what is in a set, the first ones of many.
func list(set map[string]bool) string {
	const shown = 10
	names := slices.Sorted(maps.Keys(set))
	more := ""
	if n := len(names) - shown; n > 0 {
		names, more = names[:shown], fmt.Sprintf(" and %d more", n)
	}
	for i := range names {
		names[i] = stream.Text(names[i]).Display()
	}
	return strings.Join(names, ", ") + more
}
