package mysession

import (
	"slices"
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

// Definer returns the account that a CREATE statement names in DEFINER, as `user`@`host` however it is quoted there,
// and its place; "" where it names none.
func Definer(create string) (account string, from, to int) {
	t := Tokens(create)
	for i := 0; i < min(len(t), 12); i++ {
		if !t[i].Is("DEFINER") || i+2 >= len(t) || !t[i+1].sign('=') {
			continue
		}
		account, end := Ident(t[i+2].unquoted()), i+2
		if end+2 < len(t) && t[end+1].sign('@') {
			end += 2
			account += "@" + Ident(t[end].unquoted())
		}
		return account, t[i].From, t[end].To
	}
	return "", 0, 0
}

// unquoted is a name's text, whatever it is quoted by.
func (t Token) unquoted() string {
	if t.Kind != String || len(t.Text) < 2 {
		return t.Text
	}
	q := t.Text[:1]
	return strings.ReplaceAll(t.Text[1:len(t.Text)-1], q+q, q)
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

// WithoutDatabase takes a database's name away where servers print it with names of that same database, in
// views and in defaults: from calls of functions, `db`.`f`(…), from columns, `db`.`t`.`c`, from tables after FROM and JOIN, and
// from sequences, nextval(`db`.`s`). The text then fits a database of another name.
func WithoutDatabase(create, database string) string {
	t := Tokens(create)
	var b strings.Builder
	done := 0
	for i := 0; i+2 < len(t); i++ {
		if t[i].Kind != Name || t[i].Text != database || !t[i+1].sign('.') || t[i+2].Kind != Name || i > 0 && t[i-1].sign('.') {
			continue
		}
		next := Token{}
		if i+3 < len(t) {
			next = t[i+3]
		}
		call := next.Kind == Sign && next.sign('(') && next.From == t[i+2].To
		column := next.Kind == Sign && next.sign('.')
		if call || column || isTable(t[:i]) || isSequence(t[:i]) {
			b.WriteString(create[done:t[i].From])
			done = t[i+2].From
		}
	}
	b.WriteString(create[done:])
	return b.String()
}

// isTable reports whether a table's name follows the tokens.
func isTable(t []Token) bool {
	for len(t) > 0 && t[len(t)-1].sign('(') {
		t = t[:len(t)-1]
	}
	if len(t) == 0 {
		return false
	}
	last := t[len(t)-1]
	return last.Is("FROM") || last.Is("JOIN") || last.Is("STRAIGHT_JOIN")
}

// isSequence reports whether a sequence's name follows the tokens.
func isSequence(t []Token) bool {
	if len(t) < 2 {
		return false
	}
	a, b := t[len(t)-2], t[len(t)-1]
	return b.sign('(') && (a.Is("NEXTVAL") || a.Is("LASTVAL") || a.Is("SETVAL")) || a.Is("VALUE") && b.Is("FOR")
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

// TriggerInPlace takes the database's name away from a trigger's own and from its table's, where its author named it: servers keep the
// text as it was. ok is false where another database is named, or the text is none of a trigger's.
func TriggerInPlace(create, database string) (out string, ok bool) {
	t := Tokens(create)
	at := slices.IndexFunc(t, func(t Token) bool { return t.Is("TRIGGER") })
	if at < 0 {
		return "", false
	}
	at++
	if at+2 < len(t) && t[at].Is("IF") && t[at+1].Is("NOT") && t[at+2].Is("EXISTS") {
		at += 3
	}
	on := slices.IndexFunc(t[min(at+1, len(t)):], func(t Token) bool { return t.Is("ON") }) + at + 1
	if on <= at || on+1 >= len(t) {
		return "", false
	}
	for _, i := range []int{on + 1, at} { // from behind, so that places stay
		if i+2 >= len(t) || !t[i+1].sign('.') {
			continue
		}
		if !strings.EqualFold(t[i].unquoted(), database) {
			return "", false
		}
		create = create[:t[i].From] + create[t[i+2].From:]
	}
	return create, true
}
