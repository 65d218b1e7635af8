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
	return mysession.Explain(t.checkOccupants(ctx), t.conn.Name())
}

// checkOccupants refuses a target that holds anything.
func (t *Target) checkOccupants(ctx context.Context) error {
	rows, err := t.control.Rows(ctx, occupants)
	if err != nil {
		return err
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
	for _, check := range []func(context.Context) error{t.checkVersion, t.checkLocal, t.checkWritable} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) checkVersion(context.Context) error {
	v := t.control.Version
	if old := map[bool]int{true: 10030000, false: 5070000}[v.MariaDB]; v.Num < old {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: v.Name() + " is too old"}).
			WithHint("pgmove restores to MariaDB 10.3 and newer, and MySQL 5.7 and newer")
	}
	return nil
}

func (t *Target) checkLocal(ctx context.Context) error {
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.local_infile")
	if err != nil {
		return err
	}
	if row[0] != "1" && row[0] != "ON" {
		return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(), Msg: "the server's setting local_infile is off, and rows are loaded by LOAD DATA LOCAL"}).
			WithHint("SET GLOBAL local_infile = ON there; on RDS and Aurora set local_infile to 1 in the parameter group of the instance or cluster")
	}
	return nil
}

func (t *Target) checkWritable(ctx context.Context) error {
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.read_only")
	if err != nil {
		return err
	}
	if row[0] != "0" && row[0] != "OFF" && row[0] != "" {
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
	a, err := t.asked(ctx, entries)
	if err != nil {
		return err
	}
	for _, check := range []func(context.Context, *asked) error{t.checkGrants, t.checkLogged, t.checkDefiners, t.checkReadBack} {
		if err := check(ctx, a); err != nil {
			return err
		}
	}
	gone, err := t.strangers(ctx, a)
	if len(gone) > 0 {
		t.warn("%s", strangersText(gone))
	}
	return err
}

// asked is what entries ask of the account that makes them.
type asked struct {
	mysession.Privileges
	missing  map[string]bool
	logged   map[string]bool // what a server with a binary log takes from few
	definers map[string]bool // but the account itself
	routines map[string]bool // those of them whose are routines
}

func (t *Target) asked(ctx context.Context, entries []stream.Entry) (*asked, error) {
	p, err := t.control.Grants(ctx)
	if err != nil {
		return nil, err
	}
	a := &asked{Privileges: p, missing: map[string]bool{}, logged: map[string]bool{}, definers: map[string]bool{}, routines: map[string]bool{}}
	ask := func(names []string) {
		for _, n := range names {
			if !p.Has(n) {
				a.missing[n] = true
			}
		}
	}
	ask([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX"})
	for i := range entries {
		e := &entries[i]
		ask(needs[string(e.Desc)])
		if d := t.opts.Definer.of(e); d != "" {
			a.definers[d] = true
			if needs[string(e.Desc)] != nil && needs[string(e.Desc)][0] == "CREATE ROUTINE" {
				a.routines[d] = true
			}
		}
		if e.Desc == "TRIGGER" || e.Desc == "FUNCTION" {
			a.logged[strings.ToLower(string(e.Desc))+" "+e.Name()] = true
		}
	}
	row, err := t.control.Row(ctx, "SELECT CURRENT_USER()")
	if err != nil {
		return nil, err
	}
	user, host := row[0], ""
	if i := strings.LastIndexByte(row[0], '@'); i >= 0 {
		user, host = row[0][:i], row[0][i+1:]
	}
	own := mysession.Ident(user) + "@" + mysession.Ident(host)
	delete(a.definers, own)
	delete(a.routines, own)
	return a, nil
}

func (t *Target) checkGrants(_ context.Context, a *asked) error {
	if len(a.missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
		Msg: fmt.Sprintf("the account %s lacks %s on the database", stream.Text(t.conn.User()).Display(), list(a.missing))}).
		WithHint("GRANT ALL PRIVILEGES ON the database to it; the move needs nothing beyond it")
}

// checkLogged: a server with a binary log refuses triggers and functions of who is not all-powerful.
func (t *Target) checkLogged(ctx context.Context, a *asked) error {
	if len(a.logged) == 0 || a.Everywhere("SUPER") {
		return nil
	}
	row, err := t.control.Row(ctx, "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators")
	if err != nil || row[0] != "1" || row[1] == "1" {
		return err
	}
	return (&stream.Failure{Kind: stream.Preflight, Object: t.conn.Name(),
		Msg: "with its binary log on, the server refuses " + list(a.logged) + " of this account"}).
		WithHint("SET GLOBAL log_bin_trust_function_creators = ON there, on RDS and Aurora in the parameter group; or run as an account with SUPER")
}

// checkDefiners refuses definers that the account may not name.
func (t *Target) checkDefiners(ctx context.Context, a *asked) error {
	if len(a.definers) > 0 && !a.Everywhere("SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER") {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("the account %s may make nothing that runs as another one, and definers are %s", stream.Text(t.conn.User()).Display(), list(a.definers))}).
			WithHint("make it the definer by --definer strip, name one it may by --definer USER@HOST, or grant it SET USER (MariaDB), SET_ANY_DEFINER or SET_USER_ID (MySQL)")
	}
	return t.checkNamed(ctx, a)
}

// checkReadBack refuses definers of routines that the account then could not read back.
func (t *Target) checkReadBack(_ context.Context, a *asked) error {
	if t.opts.ReadBack && len(a.routines) > 0 && !a.ReadsRoutines(t.control.Version) {
		return (&stream.Failure{Kind: stream.Denied, Object: t.conn.Name(),
			Msg: fmt.Sprintf("the account %s could not read back, to compare them, routines whose definers are %s", stream.Text(t.conn.User()).Display(), list(a.routines))}).
			WithHint("grant it SELECT on mysql.proc (MariaDB) or SHOW_ROUTINE (MySQL), make it the definer by --definer strip, or give --no-schema-check")
	}
	return nil
}

// strangers are the definers who have no account on the target, as far as the account may see who has one.
func (t *Target) strangers(ctx context.Context, a *asked) (map[string]bool, error) {
	if len(a.definers) == 0 {
		return nil, nil
	}
	rows, err := t.control.Rows(ctx, "SELECT User, Host FROM mysql.user")
	if mysession.Denied(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	gone := maps.Clone(a.definers)
	for _, r := range rows {
		delete(gone, mysession.Ident(r[0])+"@"+mysession.Ident(r[1]))
		if r[1] == "" {
			delete(gone, mysession.Ident(r[0])) // a role
		}
	}
	return gone, nil
}

func strangersText(gone map[string]bool) string {
	return "definers have no account on the target, and what runs as them fails when it is used: " + list(gone)
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
