package mysession

import (
	"errors"
	"slices"
	"strings"
)

// TableDefinition is what SHOW CREATE TABLE prints, taken apart for a restore that loads rows first.
type TableDefinition struct {
	// Create is the statement without what comes later, and without the AUTO_INCREMENT value.
	Create string
	// Whole is the statement without the AUTO_INCREMENT value.
	Whole string
	// Keys are the definitions of secondary indexes that can wait, as they stand after ADD.
	Keys []Key
	// Foreign are the foreign keys.
	Foreign []Key
	// AutoIncrement is the next value of the table's AUTO_INCREMENT column, "" where the server prints none.
	AutoIncrement string
}

// Key is an index or a foreign key, apart from its table.
type Key struct {
	Name string
	// Def is its definition, as it stands after ADD in ALTER TABLE.
	Def string
	// FullText marks a full-text index: servers build one at a time.
	FullText bool
	// References is the table that a foreign key refers to, Database its database where it is another one.
	References, Database string
}

// TableText is what SHOW CREATE TABLE printed, fit for a database of another name, and the same on two servers with the same table:
// once a statement has named a column's collation, MySQL 8.0 and newer print the charset with it, which the
// collation implies.
func TableText(create, database string, v Version) string {
	create = WithoutDatabase(create, database)
	if v.MariaDB {
		return create
	}
	t := Tokens(create)
	var b strings.Builder
	done := 0
	for i := 0; i+4 < len(t); i++ {
		if t[i].Depth == 1 && t[i].Is("CHARACTER") && t[i+1].Is("SET") && t[i+2].Kind == Word && t[i+3].Is("COLLATE") {
			b.WriteString(create[done:t[i].From])
			done = t[i+3].From
		}
	}
	b.WriteString(create[done:])
	return b.String()
}

// item is one line of a CREATE TABLE's parentheses, be it one line or not.
type item struct {
	text   string
	tokens []Token // with places in the whole text
}

var errNotCreateTable = errors.New("the server printed no CREATE TABLE as pgmove knows it")

// ParseCreateTable takes SHOW CREATE TABLE's text apart. Where keep is set all indexes stay in the table. In any case
// stay: the primary key; where there is none the first unique index, by which rows are stored if its
// columns are NOT NULL; the index that AUTO_INCREMENT needs; and what stands before one that stays, so that the
// order is the same in the end.
func ParseCreateTable(sql string, keep bool) (*TableDefinition, error) {
	tokens := Tokens(sql)
	open := slices.IndexFunc(tokens, func(t Token) bool { return t.sign('(') })
	if len(tokens) < 4 || !tokens[0].Is("CREATE") || open < 0 {
		return nil, errNotCreateTable
	}
	end := -1
	var items []item
	first := open + 1
	for i := open + 1; i < len(tokens) && end < 0; i++ {
		closing := tokens[i].Depth == 0 && tokens[i].sign(')')
		if !closing && (tokens[i].Depth != 1 || !tokens[i].sign(',')) {
			continue
		}
		if i == first {
			return nil, errNotCreateTable
		}
		// To the comma, and not to the last token: what is closed there may be a comment that servers run.
		items = append(items, item{strings.TrimSpace(sql[tokens[first].From:tokens[i].From]), tokens[first:i]})
		if strings.HasPrefix(strings.TrimLeft(sql[tokens[first-1].To:tokens[first].From], " \n"), "/*") {
			items[len(items)-1].text = strings.TrimSpace(sql[tokens[first-1].To:tokens[i].From])
		}
		first = i + 1
		if closing {
			end = i
		}
	}
	if end < 0 {
		return nil, errNotCreateTable
	}
	d := &TableDefinition{}
	stays := d.sort(items, keep)
	tail := sql[tokens[end].From:]
	tail, d.AutoIncrement = withoutAutoIncrement(tail)
	d.Whole = sql[:tokens[end].From] + tail
	d.Create = sql[:tokens[open].To] + "\n  " + strings.Join(stays, ",\n  ") + "\n" + tail
	return d, nil
}

// sort fills in keys and foreign keys and returns what stays.
func (d *TableDefinition) sort(items []item, keep bool) (stays []string) {
	auto, autoDone, primary := "", false, false
	for _, it := range items {
		t := it.tokens
		if t[0].Kind == Name && slices.ContainsFunc(t[1:], func(t Token) bool { return t.Depth == 1 && t.Is("AUTO_INCREMENT") }) {
			auto = t[0].Text
		}
		if t[0].Is("PRIMARY") {
			primary = true
			autoDone = autoDone || leading(t) == auto
		}
	}
	last := -1 // the last index that stays
	for i, it := range items {
		kind := keyKind(it.tokens)
		if kind == "" || kind == "FOREIGN" {
			continue
		}
		if auto != "" && !autoDone && leading(it.tokens) == auto && kind != "FULLTEXT" {
			autoDone, last = true, i
		}
		if !primary && kind == "UNIQUE" {
			primary, last = true, max(last, i)
		}
	}
	for i, it := range items {
		kind := keyKind(it.tokens)
		switch {
		case kind == "FOREIGN":
			d.Foreign = append(d.Foreign, foreignKey(it))
		case kind == "" || keep || i <= last:
			stays = append(stays, it.text)
		default:
			d.Keys = append(d.Keys, Key{Name: keyName(it.tokens), Def: it.text, FullText: kind == "FULLTEXT"})
		}
	}
	return stays
}

// keyKind says what kind of a secondary index, or FOREIGN key, an item is; "" for all else.
func keyKind(t []Token) string {
	if t[0].Is("CONSTRAINT") {
		for i := 1; i < min(len(t), 3); i++ {
			if t[i].Is("FOREIGN") {
				return "FOREIGN"
			}
		}
		return ""
	}
	if t[0].Is("KEY") || t[0].Is("INDEX") {
		return "KEY"
	}
	for _, k := range []string{"FOREIGN", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"} {
		if t[0].Is(k) && len(t) > 1 && (t[1].Is("KEY") || t[1].Is("INDEX")) {
			return k
		}
	}
	return ""
}

func keyName(t []Token) string {
	for _, x := range t {
		if x.Kind == Name && x.Depth == 1 {
			return x.Text
		}
	}
	return ""
}

// leading is an index's first column, "" where it is an expression.
func leading(t []Token) string {
	for i := range t {
		if t[i].sign('(') && t[i].Depth == 1 && i+1 < len(t) && t[i+1].Kind == Name {
			return t[i+1].Text
		}
	}
	return ""
}

func foreignKey(it item) Key {
	k := Key{Name: keyName(it.tokens), Def: it.text}
	for i, t := range it.tokens {
		if !t.Is("REFERENCES") || t.Depth != 1 || i+1 >= len(it.tokens) {
			continue
		}
		k.References = it.tokens[i+1].Text
		if i+3 < len(it.tokens) && it.tokens[i+2].sign('.') {
			k.Database, k.References = k.References, it.tokens[i+3].Text
		}
	}
	return k
}

// withoutAutoIncrement takes the option AUTO_INCREMENT=n out of a table's options.
func withoutAutoIncrement(tail string) (string, string) {
	t := Tokens(tail)
	for i := range t {
		if t[i].Is("PARTITION") {
			break
		}
		if t[i].Is("AUTO_INCREMENT") && i+2 < len(t) && t[i+1].sign('=') && t[i+2].Kind == Word {
			return strings.TrimRight(tail[:t[i].From], " ") + tail[t[i+2].To:], t[i+2].Text
		}
	}
	return tail, ""
}

// AddKeys is the statement that adds keys to a table, all at once.
func AddKeys(table string, keys []Key) string {
	defs := make([]string, len(keys))
	for i, k := range keys {
		defs[i] = "ADD " + k.Def
	}
	return "ALTER TABLE " + Ident(table) + "\n  " + strings.Join(defs, ",\n  ")
}
