package mysource

import (
	"context"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// privileges are an account's, for everything and for one database, in upper case. What
// information_schema lists depends on them: what an account may not see isn't listed, and would be skipped without a
// word.
type privileges map[string]bool

func (p privileges) has(names ...string) bool {
	return p["ALL PRIVILEGES"] || slices.ContainsFunc(names, func(n string) bool { return p[n] })
}

// readGrants reads what SHOW GRANTS prints, for the database: GRANT a, b (columns), c ON `db`.* TO …
func readGrants(lines []string, database string) privileges {
	p := privileges{}
	for _, l := range lines {
		t := mysession.Tokens(l)
		on := slices.IndexFunc(t, func(t mysession.Token) bool { return t.Is("ON") && t.Depth == 0 })
		if len(t) == 0 || !t[0].Is("GRANT") || on < 0 || on+3 >= len(t) {
			continue // of a role
		}
		names := strings.Split(l[t[0].To:t[on].From], ",")
		scope, object := t[on+1], t[on+3].Text
		all := scope.Text == "*"
		own := object == "*" && (all || scope.Kind == mysession.Name && like(scope.Text, database))
		proc := all || scope.Text == "mysql" && (object == "*" || object == "proc")
		for _, name := range names {
			name = strings.ToUpper(strings.TrimSpace(name))
			if own {
				p[name] = true
			}
			if proc && (name == "SELECT" || name == "ALL PRIVILEGES") {
				p[readRoutines] = true
			}
		}
	}
	return p
}

// readRoutines stands for the right to read the table in which routines are kept (MariaDB), or all tables.
const readRoutines = "SELECT ON mysql.proc"

// like matches a name with the pattern of a GRANT, in which _ and % stand for any character and characters.
func like(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	switch c := pattern[0]; {
	case c == '%':
		return like(pattern[1:], name) || name != "" && like(pattern, name[1:])
	case name == "":
		return false
	case c == '\\' && len(pattern) > 1:
		return pattern[1] == name[0] && like(pattern[2:], name[1:])
	case c == '_' || c == name[0]:
		return like(pattern[1:], name[1:])
	}
	return false
}

// checkGrants refuses an account that may not see, or not read, all that the database holds.
func (s *Source) checkGrants(ctx context.Context) error {
	rows, err := s.control.Rows(ctx, "SHOW GRANTS")
	if err != nil {
		return err
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, r[0])
	}
	p := readGrants(lines, s.conn.Database())
	var missing []string
	for _, need := range []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"} {
		if !p.has(need) {
			missing = append(missing, need)
		}
	}
	// Any of these lets an account see that a routine is there; its text is a matter of its own.
	if !p.has("EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW_ROUTINE", "SHOW CREATE ROUTINE", readRoutines) {
		missing = append(missing, "EXECUTE")
	}
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: "the account " + stream.Text(s.conn.User()).Display() + " lacks " + strings.Join(missing, ", ") + " on the database, and would not see all that it holds"}).
		WithHint("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE, LOCK TABLES ON the database to it")
}
