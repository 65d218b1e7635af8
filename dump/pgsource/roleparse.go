package pgsource

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// What pg_dumpall prints is taken apart word by word, and only what is known is taken: the roles travel as data, and whoever creates
// them writes statements of his own.

// word is a token of SQL: kind 'w' for a bare word, in upper case in key; 'i' for a quoted name, 's' for a string, else the character.
type word struct {
	kind byte
	text string
}

func (w word) is(key string) bool { return w.kind == 'w' && strings.EqualFold(w.text, key) }

// name returns the name that the word is.
func (w word) name() (stream.Text, bool) {
	return stream.Text(w.text), w.kind == 'i' || w.kind == 'w'
}

// statements splits SQL into statements of words. Comments and psql's own commands, each on a line, are left out.
func statements(sql string) ([][]word, error) {
	var out [][]word
	var now []word
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == ' ', c == '\t', c == '\n', c == '\r':
			i++
		case strings.HasPrefix(sql[i:], "--"), c == '\\' && len(now) == 0:
			n := strings.IndexByte(sql[i:], '\n')
			if n < 0 {
				n = len(sql) - i
			}
			i += n
		case c == ';':
			out, now = append(out, now), nil
			i++
		case c == '"' || c == '\'' || (c == 'E' && strings.HasPrefix(sql[i+1:], "'")):
			w, n, err := quotedWord(sql[i:])
			if err != nil {
				return nil, err
			}
			now = append(now, w)
			i += n
		case isBare(c):
			n := i
			for n < len(sql) && isBare(sql[n]) {
				n++
			}
			now = append(now, word{'w', sql[i:n]})
			i = n
		default:
			now = append(now, word{c, string(c)})
			i++
		}
	}
	if len(now) > 0 {
		return nil, errors.New("it ends in the middle of a statement")
	}
	return out, nil
}

func isBare(c byte) bool {
	return c == '_' || c == '$' || c == '-' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quotedWord reads a quoted name or a string at the beginning of sql and returns its length.
func quotedWord(sql string) (word, int, error) {
	i, escapes := 0, false
	if sql[0] == 'E' {
		i, escapes = 1, true
	}
	quote := sql[i]
	kind := byte('s')
	if quote == '"' {
		kind = 'i'
	}
	var b strings.Builder
	for i++; i < len(sql); i++ {
		switch c := sql[i]; {
		case c == quote && i+1 < len(sql) && sql[i+1] == quote:
			b.WriteByte(c)
			i++
		case c == quote:
			return word{kind, b.String()}, i + 1, nil
		case c == '\\' && escapes:
			// pg_dumpall escapes the backslash alone.
			if i++; i >= len(sql) || sql[i] != '\\' {
				return word{}, 0, errors.New("a string with an escape that pg_dumpall does not write")
			}
			b.WriteByte('\\')
		default:
			b.WriteByte(c)
		}
	}
	return word{}, 0, errors.New("a string without an end")
}

// parseRoles reads what pg_dumpall --roles-only prints. Statements that it doesn't know are returned by their first words.
func parseRoles(sql string) (roles []stream.Role, strange []string, err error) {
	list, err := statements(sql)
	if err != nil {
		return nil, nil, err
	}
	p := &roleParser{at: map[stream.Text]int{}}
	for _, st := range list {
		if len(st) == 0 || st[0].is("SET") {
			continue // of pg_dumpall's own session
		}
		ok, err := p.statement(st)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			var first []string
			for _, w := range st[:min(len(st), 5)] {
				first = append(first, w.text)
			}
			strange = append(strange, strings.Join(first, " "))
		}
	}
	return p.roles, strange, nil
}

type roleParser struct {
	roles []stream.Role
	at    map[stream.Text]int
}

// begins matches words, of which "*" is any name, and returns the names and the rest.
func begins(st []word, pattern ...string) (names []stream.Text, rest []word, ok bool) {
	if len(st) < len(pattern) {
		return nil, nil, false
	}
	for i, p := range pattern {
		n, isName := st[i].name()
		switch {
		case p == "*" && isName:
			names = append(names, n)
		case !st[i].is(p):
			return nil, nil, false
		}
	}
	return names, st[len(pattern):], true
}

// statement takes a statement; false where it is none that is known.
func (p *roleParser) statement(st []word) (bool, error) {
	if names, rest, ok := begins(st, "CREATE", "ROLE", "*"); ok && len(rest) == 0 {
		p.at[names[0]] = len(p.roles)
		p.roles = append(p.roles, stream.Role{Name: names[0], Limit: -1})
		return true, nil
	}
	if names, rest, ok := begins(st, "ALTER", "ROLE", "*", "WITH"); ok {
		return p.attributes(names[0], rest)
	}
	if _, _, ok := begins(st, "ALTER", "ROLE", "*", "IN", "DATABASE"); ok {
		return true, nil // an entry of the database's dump
	}
	if names, rest, ok := begins(st, "ALTER", "ROLE", "*", "SET", "*"); ok && len(rest) > 1 && rest[0].is("TO") {
		return p.setting(names[0], string(names[1]), rest[1:])
	}
	if names, rest, ok := begins(st, "COMMENT", "ON", "ROLE", "*", "IS"); ok && len(rest) == 1 && rest[0].kind == 's' {
		return p.with(names[0], func(r *stream.Role) { r.Comment = stream.Text(rest[0].text) })
	}
	if names, rest, ok := begins(st, "GRANT", "*", "TO", "*"); ok {
		return p.grant(names[0], names[1], rest)
	}
	return false, nil
}

// with changes a role that was created before.
func (p *roleParser) with(name stream.Text, f func(*stream.Role)) (bool, error) {
	i, ok := p.at[name]
	if !ok {
		return false, fmt.Errorf("role %s is changed and was not created", name.Display())
	}
	f(&p.roles[i])
	return true, nil
}

func (p *roleParser) attributes(name stream.Text, st []word) (bool, error) {
	i, ok := p.at[name]
	if !ok {
		return false, fmt.Errorf("role %s is changed and was not created", name.Display())
	}
	r := &p.roles[i]
	switches := map[string]*bool{"SUPERUSER": &r.Superuser, "INHERIT": &r.Inherit, "CREATEROLE": &r.CreateRole, "CREATEDB": &r.CreateDB,
		"LOGIN": &r.Login, "REPLICATION": &r.Replication, "BYPASSRLS": &r.BypassRLS}
	for len(st) > 0 {
		key := strings.ToUpper(st[0].text)
		if v := switches[strings.TrimPrefix(key, "NO")]; v != nil && st[0].kind == 'w' {
			*v = !strings.HasPrefix(key, "NO")
			st = st[1:]
			continue
		}
		if _, rest, ok := begins(st, "CONNECTION", "LIMIT", "*"); ok {
			n, err := strconv.Atoi(st[2].text)
			if err != nil {
				return false, err
			}
			r.Limit, st = n, rest
			continue
		}
		if len(st) >= 3 && st[0].is("VALID") && st[1].is("UNTIL") && st[2].kind == 's' {
			r.ValidUntil, st = st[2].text, st[3:]
			continue
		}
		return false, fmt.Errorf("role %s has an attribute that is not known: %s", name.Display(), stream.Text(st[0].text).Display())
	}
	return true, nil
}

func (p *roleParser) setting(role stream.Text, name string, st []word) (bool, error) {
	var values []stream.Text
	for i, w := range st {
		if i%2 == 1 {
			if w.kind != ',' {
				return false, nil
			}
			continue
		}
		if w.kind != 's' {
			return false, nil
		}
		values = append(values, stream.Text(w.text))
	}
	return p.with(role, func(r *stream.Role) {
		r.Settings = append(r.Settings, stream.RoleSetting{Name: name, Values: values})
	})
}

// grant takes a membership. By whom it was granted is left out, and the same one granted by several is one.
func (p *roleParser) grant(role, member stream.Text, st []word) (bool, error) {
	m := stream.Membership{Role: role}
	if len(st) > 0 && st[0].is("WITH") {
		st = st[1:]
		for len(st) >= 2 && !st[0].is("GRANTED") {
			on := st[1].is("OPTION") || st[1].is("TRUE")
			if !on && !st[1].is("FALSE") {
				return false, nil
			}
			switch {
			case st[0].is("ADMIN"):
				m.Admin = on
			case st[0].is("INHERIT"):
				m.Inherit = &on
			case st[0].is("SET"):
				m.Set = &on
			default:
				return false, nil
			}
			if st = st[2:]; len(st) > 0 && st[0].kind == ',' {
				st = st[1:]
			}
		}
	}
	if _, rest, ok := begins(st, "GRANTED", "BY", "*"); ok {
		st = rest
	}
	if len(st) > 0 {
		return false, nil
	}
	return p.with(member, func(r *stream.Role) {
		i := slices.IndexFunc(r.MemberOf, func(o stream.Membership) bool { return o.Role == role })
		if i < 0 {
			r.MemberOf = append(r.MemberOf, m)
			return
		}
		o := &r.MemberOf[i]
		o.Admin = o.Admin || m.Admin
		o.Inherit, o.Set = either(o.Inherit, m.Inherit), either(o.Set, m.Set)
	})
}

// either is what two grants of one membership come to.
func either(a, b *bool) *bool {
	if a == nil || b == nil {
		return nil // the server's default, which gives
	}
	v := *a || *b
	return &v
}
