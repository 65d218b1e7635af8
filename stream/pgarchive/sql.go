package pgarchive

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// The few statements of an archive that are not only run but understood. Each is taken in the
// exact form that pg_dump, or pgmove, gives it.

// copyInto is a COPY statement taken apart.
type copyInto struct {
	namespace, name stream.Text
	columns         []stream.Text
	binary          bool
	head            string // the statement up to its options
}

// text is the statement without options: the chunk's format says what those are.
func (c *copyInto) text() string { return c.head + ";\n" }

// parseCopy takes "COPY namespace.table (columns) FROM stdin;" apart. A table without columns has no list of them.
func parseCopy(s string) (*copyInto, error) {
	c := &copyInto{}
	rest, ok := strings.CutPrefix(s, "COPY ")
	if !ok {
		return nil, errors.New("it begins otherwise")
	}
	if c.namespace, rest, ok = ident(rest); !ok {
		return nil, errors.New("a schema's name is expected")
	}
	if rest, ok = strings.CutPrefix(rest, "."); !ok {
		return nil, errors.New("the table's name is not a qualified one")
	}
	if c.name, rest, ok = ident(rest); !ok {
		return nil, errors.New("a table's name is expected")
	}
	rest = strings.TrimLeft(rest, " ")
	if list, has := strings.CutPrefix(rest, "("); has {
		for {
			var col stream.Text
			if col, list, ok = ident(list); !ok {
				return nil, fmt.Errorf("the name of column %d is expected", len(c.columns)+1)
			}
			c.columns = append(c.columns, col)
			if next, more := strings.CutPrefix(list, ", "); more {
				list = next
				continue
			}
			if rest, ok = strings.CutPrefix(list, ") "); !ok {
				return nil, errors.New("its list of columns has no end")
			}
			break
		}
	}
	if rest, ok = strings.CutPrefix(rest, "FROM stdin"); !ok {
		return nil, errors.New("it does not load from stdin")
	}
	c.head = s[:len(s)-len(rest)]
	rest, c.binary = strings.CutPrefix(rest, " WITH (FORMAT binary)")
	if rest != ";\n" && rest != ";" {
		return nil, errors.New("it has options, or more follows it")
	}
	return c, nil
}

// ident takes a name from the head of s: a quoted one, or one that needs no quotes.
func ident(s string) (name stream.Text, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		n := 0
		for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
			n++
		}
		return stream.Text(s[:n]), s[n:], n > 0
	}
	text, n := unquote(s, '"', false)
	return stream.Text(text), s[n:], text != ""
}

// unquote reads the quoted text at the head of s, in which a doubled quote is one, and returns its length
// in s; 0 where it has no end.
func unquote(s string, q byte, escapes bool) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == q || escapes && c == '\\' {
			if i+1 == len(s) || s[i+1] != c {
				if c == q {
					return b.String(), i + 1
				}
				return "", 0 // an escape that nobody here writes
			}
			i++
		}
		b.WriteByte(c)
	}
	return "", 0
}

// parseSetval reads the position from the statement that sets the sequence of that name.
func parseSetval(s, namespace, name string) (last int64, called, ok bool) {
	rest, ok := strings.CutPrefix(s, "SELECT pg_catalog.setval(")
	if !ok {
		return 0, false, false
	}
	rest, escapes := strings.CutPrefix(rest, "E")
	if !strings.HasPrefix(rest, "'") {
		return 0, false, false
	}
	text, n := unquote(rest, '\'', escapes)
	ns, tail, ok1 := ident(text)
	tail, ok2 := strings.CutPrefix(tail, ".")
	seq, tail, ok3 := ident(tail)
	if !ok1 || !ok2 || !ok3 || tail != "" || string(ns) != namespace || string(seq) != name {
		return 0, false, false
	}
	number, flag, _ := strings.Cut(strings.TrimPrefix(rest[n:], ", "), ", ")
	last, err := strconv.ParseInt(number, 10, 64)
	called = flag == "true);\n"
	if err != nil || !strings.HasPrefix(rest[n:], ", ") || !called && flag != "false);\n" {
		return 0, false, false
	}
	return last, called, true
}

// parseEncoding reads the name of the encoding from the statement that sets it.
func parseEncoding(s string) (string, error) {
	name, ok1 := strings.CutPrefix(strings.TrimSpace(s), "SET client_encoding = '")
	name, ok2 := strings.CutSuffix(name, "';")
	odd := strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if !ok1 || !ok2 || odd >= 0 || name == "" || len(name) > 40 {
		return "", errors.New("not a statement that sets an encoding")
	}
	return name, nil
}

// parseVersion reads a version as PostgreSQL prints it, with or without its packager's addition, and counts it as the
// server does: 15.20 is 150020, 18beta1 is 180000.
func parseVersion(s string) (text string, num int, err error) {
	text, _, _ = strings.Cut(s, " ")
	digits := text
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		digits = text[:i]
	}
	var parts [3]int
	for i, p := range strings.Split(digits, ".") {
		n, err := strconv.Atoi(p)
		if err != nil || n > 999 || i == len(parts) {
			return "", 0, fmt.Errorf("%.40q is not a version", s)
		}
		parts[i] = n
	}
	odd := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	if parts[0] == 0 || len(text) > 40 || odd >= 0 {
		return "", 0, fmt.Errorf("%.40q is not a version", s)
	}
	if parts[0] < 10 {
		return text, parts[0]*10000 + parts[1]*100 + parts[2], nil
	}
	return text, parts[0]*10000 + parts[1], nil
}

// roles lists the roles that the entries name as owners or grant something to, and those of policies. Roles that
// every server has of its own are left out.
func roles(entries []stream.Entry) []stream.RoleUse {
	uses := map[stream.Text]*stream.RoleUse{}
	use := func(name stream.Text) *stream.RoleUse {
		if uses[name] == nil {
			uses[name] = &stream.RoleUse{Name: name}
		}
		return uses[name]
	}
	for i := range entries {
		e := &entries[i]
		if e.Owner != "" {
			use(e.Owner).Owner = true
		}
		switch e.Desc {
		case "ACL", "DEFAULT ACL":
			for _, g := range grantees(string(e.Defn)) {
				use(g).ACL = true
			}
		case "POLICY":
			for _, g := range grantees(string(e.Defn)) {
				use(g).Other = true
			}
		}
	}
	var out []stream.RoleUse
	for name, u := range uses {
		if !strings.HasPrefix(string(name), "pg_") {
			out = append(out, *u)
		}
	}
	slices.SortFunc(out, func(a, b stream.RoleUse) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// grantees returns the roles that pg_dump's statements of privileges and policies name: what follows TO, FROM and
// AUTHORIZATION, outside of quotes and in capitals, as pg_dump alone writes them. A policy's expressions come after its roles.
func grantees(sql string) []stream.Text {
	const wordBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789"
	var out []stream.Text
	for rest := sql; rest != ""; {
		if c := rest[0]; c == '"' || c == '\'' {
			_, n := unquote(rest, c, false)
			if n == 0 {
				return out
			}
			rest = rest[n:]
			continue
		}
		word := rest[:len(rest)-len(strings.TrimLeft(rest, wordBytes))]
		if word == "" {
			rest = rest[1:]
			continue
		}
		rest = rest[len(word):]
		switch word {
		case "USING", "CHECK":
			return out
		case "TO", "FROM", "AUTHORIZATION":
			for more := true; more; {
				name, after, ok := ident(strings.TrimLeft(rest, " "))
				if !ok {
					break
				}
				out = append(out, name)
				rest, more = strings.CutPrefix(after, ", ")
			}
		}
	}
	return out
}
