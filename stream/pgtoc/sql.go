package pgtoc

import (
	"fmt"
	"strings"
)

// The SQL in a table of contents is almost complete. What pg_restore adds to it is
// here: who owns an object, and under which name the database goes on the
// target.

// OwnerStmt returns the statement that gives an object its owner, "" for kinds that have
// none of their own (an index belongs to its table's owner) or where owner is "".
func OwnerStmt(desc, namespace, tag, owner, dropStmt string) string {
	if owner == "" {
		return ""
	}
	var what string
	switch desc {
	case "COLLATION", "CONVERSION", "DOMAIN", "FOREIGN TABLE", "MATERIALIZED VIEW", "SEQUENCE", "STATISTICS",
		"TABLE", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TYPE", "VIEW":
		what = desc + " " + qualified(namespace, tag)
	case "SCHEMA", "FOREIGN DATA WRAPPER", "SERVER", "EVENT TRIGGER", "PUBLICATION", "SUBSCRIPTION":
		what = desc + " " + ident(tag)
	case "PROCEDURAL LANGUAGE":
		what = desc + " " + ident(tag)
	case "BLOB":
		what = "LARGE OBJECT " + tag
	case "AGGREGATE", "FUNCTION", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "PROCEDURE":
		// Their names need argument types, which the DROP statement spells out.
		what = strings.TrimRight(strings.TrimPrefix(dropStmt, "DROP "), ";\n ")
		if what == "" || what == dropStmt {
			return ""
		}
	default:
		return ""
	}
	return "ALTER " + what + " OWNER TO " + ident(owner) + ";\n"
}

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func qualified(namespace, tag string) string {
	if namespace == "" {
		return ident(tag)
	}
	return ident(namespace) + "." + ident(tag)
}

// RenameDatabase replaces the name after each keyword DATABASE in SQL that pg_dump
// wrote for a database (its properties, comment and privileges). Strings, quoted
// names and comments that hold the word are left alone, and so is a role of that name: pg_dump
// doesn't quote it, and only after ALTER, ON and IN is the word the keyword.
func RenameDatabase(sql, name string) (string, error) {
	var b strings.Builder
	expect, keyword := false, false
	for i := 0; i < len(sql); {
		n, word := token(sql[i:])
		if n == 0 {
			return "", fmt.Errorf("%w: a string or name in the database's properties has no end", ErrCorrupt)
		}
		t := sql[i : i+n]
		i += n
		switch {
		case expect && word:
			b.WriteString(ident(name))
			expect = false
			continue
		case word:
			expect = keyword && strings.EqualFold(t, "DATABASE")
			keyword = strings.EqualFold(t, "ALTER") || strings.EqualFold(t, "ON") || strings.EqualFold(t, "IN")
		case strings.TrimSpace(t) != "":
			keyword = false
		}
		b.WriteString(t)
	}
	return b.String(), nil
}

// token returns the length of the first token of s, and whether it is a word or a
// quoted name; 0 where a quote isn't closed.
func token(s string) (int, bool) {
	switch c := s[0]; {
	case c == '\'' || c == '"':
		n := quoted(s, c, false)
		return n, c == '"'
	case (c == 'E' || c == 'e') && len(s) > 1 && s[1] == '\'':
		n := quoted(s[1:], '\'', true)
		if n == 0 {
			return 0, false
		}
		return n + 1, false
	case wordByte(c):
		n := 1
		for n < len(s) && wordByte(s[n]) {
			n++
		}
		return n, true
	}
	return 1, false
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted returns the length of the quoted text at the head of s, 0 where it has no end.
func quoted(s string, q byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == q && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return 0
}
