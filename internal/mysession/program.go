package mysession

import (
	"strings"
)

// A program is a view, a trigger, a routine or an event: SQL that servers keep together with the settings
// under which it was written. An entry of one has a Defn of two statements, the first on a line of its own:
//
//	SET SESSION sql_mode = '…', character_set_client = …, collation_connection = …;
//	CREATE …

// settingsLine begins a Defn that has settings of its own.
const settingsLine = "SET SESSION "

// Program puts a definition together.
func Program(settings []string, create string) string {
	return settingsLine + strings.Join(settings, ", ") + ";\n" + create
}

// Statements takes a Defn apart: the statement that makes the settings under which it is to be run, "" where it has none,
// and the statement itself. Who ran it sets its own settings again.
func Statements(defn string) (settings, statement string) {
	if strings.HasPrefix(defn, settingsLine) {
		if line, rest, ok := strings.Cut(defn, ";\n"); ok {
			return line, rest
		}
	}
	return "", defn
}

// Definer returns the account that a CREATE statement names in DEFINER, as `user`@`host`, and its place; "" where it names none.
func Definer(create string) (account string, from, to int) {
	t := Tokens(create)
	for i := 0; i < min(len(t), 12); i++ {
		if !t[i].Is("DEFINER") || i+2 >= len(t) || !t[i+1].sign('=') {
			continue
		}
		end := i + 2
		if end+2 < len(t) && t[end+1].sign('@') {
			end += 2
		}
		return create[t[i+2].From:t[end].To], t[i].From, t[end].To
	}
	return "", 0, 0
}

// WithDefiner replaces the account in a CREATE statement's DEFINER; "" takes the whole clause out, which makes who
// runs it the definer.
func WithDefiner(create, account string) string {
	old, from, to := Definer(create)
	switch {
	case old == "":
		return create
	case account == "":
		return create[:from] + strings.TrimPrefix(create[to:], " ")
	}
	return create[:from] + "DEFINER=" + account + create[to:]
}

// WithoutDatabase takes a database's name away from the calls of functions in a view's text, the one place where
// servers print it with names of the same database: the text then fits a database of another name.
func WithoutDatabase(create, database string) string {
	t := Tokens(create)
	var b strings.Builder
	done := 0
	for i := 0; i+3 < len(t); i++ {
		call := t[i].Kind == Name && t[i].Text == database && t[i+1].sign('.') && t[i+2].Kind == Name && t[i+3].sign('(') && t[i+3].From == t[i+2].To
		if call && (i == 0 || !t[i-1].sign('.')) {
			b.WriteString(create[done:t[i].From])
			done = t[i+2].From
		}
	}
	b.WriteString(create[done:])
	return b.String()
}

// From returns the tables and views that a query reads, by the server's own text of it: names that stand after FROM
// or JOIN. Those of other databases are left out.
func From(create, database string) []string {
	t := Tokens(create)
	var out []string
	for i := range t {
		if !t[i].Is("FROM") && !t[i].Is("JOIN") && !t[i].Is("STRAIGHT_JOIN") {
			continue
		}
		j := i + 1
		for j < len(t) && t[j].sign('(') {
			j++
		}
		if j >= len(t) || t[j].Kind != Name {
			continue
		}
		name := t[j].Text
		if j+2 < len(t) && t[j+1].sign('.') {
			if name != database {
				continue
			}
			name = t[j+2].Text
		}
		out = append(out, name)
	}
	return out
}
