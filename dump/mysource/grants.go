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
		if len(t) == 0 || !t[0].Is("GRANT") || on < 0 || on+3 >= len(t) || t[on+3].Text != "*" {
			continue // of a role, of a table, of a routine
		}
		scope := t[on+1]
		if scope.Text != "*" && (scope.Kind != mysession.Name || !like(scope.Text, database)) {
			continue
		}
		for _, name := range strings.Split(l[t[0].To:t[on].From], ",") {
			p[strings.ToUpper(strings.TrimSpace(name))] = true
		}
	}
	return p
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
	if len(missing) == 0 {
		return nil
	}
	return (&stream.Failure{Kind: stream.Denied, Object: s.conn.Name(),
		Msg: "the account " + stream.Text(s.conn.User()).Display() + " lacks " + strings.Join(missing, ", ") + " on the database, and would not see all that it holds"}).
		WithHint("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON the database to it")
}
