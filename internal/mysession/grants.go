package mysession

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Privileges are an account's, for everything and for one database, in upper case. What
// information_schema lists depends on them: what an account may not see isn't listed, and would be skipped without a
// word.
type Privileges map[string]bool

// Has reports whether the account has one of them.
func (p Privileges) Has(names ...string) bool {
	return p["ALL PRIVILEGES"] || slices.ContainsFunc(names, func(n string) bool { return p[n] })
}

// everywhere marks privileges that are for all of the server.
const everywhere = "*.* "

// Everywhere reports whether the account has one of them for all of the server.
func (p Privileges) Everywhere(names ...string) bool {
	return p[everywhere+"ALL PRIVILEGES"] || slices.ContainsFunc(names, func(n string) bool { return p[everywhere+n] })
}

// readGrants reads what SHOW GRANTS prints, for the database: GRANT a, b (columns), c ON `db`.* TO …
func readGrants(lines []string, database string) Privileges {
	p := Privileges{}
	global := Privileges{} // what partial revokes take from
	for _, l := range lines {
		t := Tokens(l)
		on := slices.IndexFunc(t, func(t Token) bool { return t.Is("ON") && t.Depth == 0 })
		if len(t) > 0 && t[0].Is("REVOKE") && on > 0 && on+1 < len(t) {
			revoke(global, strings.Split(l[t[0].To:t[on].From], ","), t[on+1].Text, database)
			continue
		}
		if len(t) == 0 || !t[0].Is("GRANT") || on < 0 || on+3 >= len(t) {
			continue // of a role
		}
		names := strings.Split(l[t[0].To:t[on].From], ",")
		scope, object := t[on+1], t[on+3].Text
		all := scope.Text == "*"
		own := object == "*" && (all || scope.Kind == Name && like(scope.Text, database))
		proc := all || scope.Text == "mysql" && (object == "*" || object == "proc")
		for _, name := range names {
			name, p := strings.ToUpper(strings.TrimSpace(name)), p
			if all {
				p = global
			}
			if own {
				p[name] = true
			}
			if all && object == "*" {
				p[everywhere+name] = true
			}
			if proc && (name == "SELECT" || name == "ALL PRIVILEGES") {
				p[ReadRoutines] = true
			}
		}
	}
	maps.Copy(p, global)
	return p
}

// revoke takes privileges for everything away that a line of MySQL's partial revokes excepts the database from, or the server's own.
func revoke(global Privileges, names []string, from, database string) {
	for _, name := range names {
		name = strings.ToUpper(strings.TrimSpace(name))
		if from == database {
			delete(global, name)
			delete(global, everywhere+name)
		}
		if name == "SELECT" && (from == database || from == "mysql") {
			delete(global, ReadRoutines)
		}
	}
}

// ReadRoutines stands for the right to read the table in which routines are kept (MariaDB), or all tables.
const ReadRoutines = "SELECT ON mysql.proc"

// ReadsRoutines reports whether the account may read routines that others made. All privileges on a database include that
// only from MariaDB 11.3 on.
func (p Privileges) ReadsRoutines(v Version) bool {
	return p[ReadRoutines] || p["SHOW CREATE ROUTINE"] || p["SHOW_ROUTINE"] || p.Everywhere("SELECT", "SHOW_ROUTINE") ||
		v.MariaDB && v.Num >= 11030000 && p["ALL PRIVILEGES"]
}

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

// Grants reads the privileges of the session's account, for everything and for its database.
func (s *Session) Grants(ctx context.Context) (Privileges, error) {
	rows, err := s.Rows(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, r[0])
	}
	return readGrants(lines, s.from.database), nil
}
