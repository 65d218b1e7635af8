package myarchive

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// table is a table, or a sequence written as one.
type table struct {
	name, create, engine string
	base                 string   // as its files' names begin
	before               []string // statements before the one that creates it: sequences
	refers               []string // tables that its foreign keys refer to
	files                []string // with rows
	load                 string   // what loads them; "" where they are statements
}

// program is a view, a trigger, a routine or an event.
type program struct {
	kind, name, create, definer string
	settings                    []string
}

const ident = "`((?:[^`]|``)+)`"

// quoted is a name, however it is quoted.
const quoted = "(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|[^\\s(`@'\"]+)"

// object is the name of what is created, and before it its database, where that is named.
const object = "(?:(" + plainName + ")\\s*\\.\\s*)?(" + plainName + ")"

const plainName = "`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\\s(`@'\"./*#;-]+"

var (
	createTable    = regexp.MustCompile(`^CREATE TABLE (?:IF NOT EXISTS )?` + ident + `\s*\(`)
	createSequence = regexp.MustCompile(`^CREATE SEQUENCE (?:IF NOT EXISTS )?` + ident + `(?:\s+[A-Za-z][^.*;]*)?$`)
	setSequence    = regexp.MustCompile(`^DO SETVAL\( *` + ident + `(?: *, *-?\d+)+ *\)$`)
	engineOption   = regexp.MustCompile(`(?m)^\) ENGINE=(\w+)`)
	foreignKey     = regexp.MustCompile(`(?m)^\s+CONSTRAINT ` + ident + ` FOREIGN KEY \(.*\) REFERENCES ` + ident)
	createProgram  = regexp.MustCompile(`(?is)^CREATE (?:OR REPLACE )?(?:ALGORITHM=\w+ )?(?:DEFINER=(` + quoted + `)@(` + quoted + `) )?(?:SQL SECURITY \w+ )?(?:AGGREGATE )?` +
		`(VIEW|TRIGGER|FUNCTION|PROCEDURE|EVENT|PACKAGE BODY|PACKAGE) (?:IF NOT EXISTS )?` + object)
	databaseOption = regexp.MustCompile(`DEFAULT CHARACTER SET (?:= )?(\w+)(?: COLLATE (?:= )?(\w+))?`)
	// heads are what follows a program's name. A function's has parentheses, unless it is a library's.
	heads = map[string]*regexp.Regexp{
		"VIEW": regexp.MustCompile(`(?i)^(?:\s*\(|\s+AS\b)`), "FUNCTION": regexp.MustCompile(`^\s*\(`), "PROCEDURE": regexp.MustCompile(`^\s*\(`),
		"EVENT": regexp.MustCompile(`(?i)^\s+ON\s+SCHEDULE\b`), "PACKAGE": regexp.MustCompile(`^\s+[A-Za-z]`), "PACKAGE BODY": regexp.MustCompile(`^\s+[A-Za-z]`),
		"TRIGGER": regexp.MustCompile(`(?is)^\s+(?:BEFORE|AFTER)\s+\w+(?:\s+OR\s+\w+)*\s+ON\s+` + object + `\s+FOR\s+EACH\s+ROW\b`),
	}
)

// passed are statements of sessions' settings, and comments: they are not restored.
var passed = regexp.MustCompile(`(?is)^(?:/\*M?!\d* *SET\b[^;]*\*/|/\*M!999999\\?-.*\*/|/\*[^!M][^*]*\*/|SET\b.*)$`)

// one is a setting that programs are made under, with a value.
const (
	four = `(?:sql_mode|time_zone|character_set_client|collation_connection)`
	one  = four + ` *= *(?:'[^'\\]*'|\w+)`
	set  = `(?is)^(?:/\*!\d+ )?SET (?:SESSION |@@SESSION\.)?`
)

var (
	setting  = regexp.MustCompile(set + `(` + one + `(?:, *` + one + `)*) *(?:\*/)?$`)
	ours     = regexp.MustCompile(set + four)
	restored = regexp.MustCompile(set + four + ` *= *@\w+ *(?:\*/)?$`) // to what it was before
)

func unquote(name string) string {
	if len(name) > 1 && strings.ContainsRune("`\"'", rune(name[0])) {
		q := name[:1]
		return strings.ReplaceAll(name[1:len(name)-1], q+q, q)
	}
	return name
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// schema reads the files that define something.
func (a *archive) schema(ctx context.Context) error {
	views := map[string]bool{}
	for name := range a.files {
		if base, ok := strings.CutSuffix(name, "-schema-view.sql"); ok {
			views[base] = true
		}
	}
	// Routines first: views call them. Within a file all stays in order.
	rank := func(name string) int {
		return slices.IndexFunc([]string{"-schema-post.sql", "-schema-view.sql", "-schema-triggers.sql", ""}, func(s string) bool { return strings.HasSuffix(name, s) })
	}
	list := slices.SortedFunc(maps.Keys(a.files), func(x, y string) int { return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x, y)) })
	for _, name := range list {
		base, isTable := strings.CutSuffix(name, "-schema.sql")
		_, isSequence := strings.CutSuffix(name, "-schema-sequence.sql")
		var err error
		switch {
		case rank(name) < 3:
			err = a.readPrograms(ctx, name)
		case isTable && views[base]:
			// A table in a view's place, until that is made.
		case isTable, isSequence:
			err = a.readTable(ctx, name, strings.TrimSuffix(base, "-schema-sequence.sql"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readTable reads a file with a table.
func (a *archive) readTable(ctx context.Context, name, base string) error {
	text, err := a.text(ctx, name)
	if err != nil {
		return err
	}
	t := &table{base: base}
	for _, s := range statements(text) {
		switch {
		case createTable.MatchString(s) && t.create == "" && plainTable(s):
			t.name, t.create = unquote("`"+createTable.FindStringSubmatch(s)[1]+"`"), s
		case createSequence.MatchString(s), setSequence.MatchString(s):
			t.before = append(t.before, s)
		case passed.MatchString(s):
		default:
			return a.refused("%s holds a statement that pgmove does not take: %.60s", name, stream.Text(s).Display())
		}
	}
	if t.create == "" && len(t.before) == 0 {
		return a.damaged("%s creates no table", name)
	}
	if m := engineOption.FindStringSubmatch(t.create); m != nil {
		t.engine = m[1]
	}
	for _, m := range foreignKey.FindAllStringSubmatch(t.create, -1) {
		t.refers = append(t.refers, unquote("`"+m[2]+"`"))
	}
	a.tables[base] = t
	return nil
}

// plainTable reports whether the statement takes rows from nowhere, and makes no table that stands for another one.
func plainTable(create string) bool {
	list, ok := words(create)
	tables := 0
	for i, w := range list {
		switch w.text {
		case "TABLE":
			tables++
		case "SELECT":
			return false
		case "ENGINE":
			if i+1 < len(list) && slices.Contains([]string{"CONNECT", "FEDERATED", "MERGE", "MRG_MYISAM", "SPIDER"}, list[i+1].text) {
				return false
			}
		}
	}
	return ok && tables == 1
}

// readPrograms reads a file with views, triggers, routines or events, each after the settings that it is made under.
func (a *archive) readPrograms(ctx context.Context, name string) error {
	text, err := a.text(ctx, name)
	if err != nil {
		return err
	}
	var settings []string
	for _, s := range statements(text) {
		if m := setting.FindStringSubmatch(s); m != nil {
			settings = append(settings, m[1])
			continue
		}
		if ours.MatchString(s) && !restored.MatchString(s) {
			return a.refused("%s holds a setting that pgmove does not take: %.60s", name, stream.Text(s).Display())
		}
		m := createProgram.FindStringSubmatch(s)
		if m == nil && (passed.MatchString(s) || strings.HasPrefix(s, "DROP ")) {
			continue
		}
		create := ""
		if m != nil {
			create = a.inPlace(s)
		}
		if create == "" {
			return a.refused("%s holds a statement that pgmove does not take: %.60s", name, stream.Text(s).Display())
		}
		p := &program{kind: strings.ToUpper(m[3]), name: unquote(m[5]), create: create, settings: settings}
		if m[1] != "" {
			p.definer = quote(unquote(m[1])) + "@" + quote(unquote(m[2]))
		}
		a.programs, settings = append(a.programs, p), nil
	}
	return nil
}

// entries makes the entries, in the order in which they can be applied.
func (a *archive) entries() {
	add := func(e stream.Entry) stream.DumpID {
		e.ID = stream.DumpID(len(a.out.Entries) + 1)
		a.out.Entries = append(a.out.Entries, e)
		return e.ID
	}
	if m := databaseOption.FindStringSubmatch(a.databaseText()); m != nil {
		sql := "ALTER DATABASE CHARACTER SET = " + m[1]
		if m[2] != "" {
			sql += " COLLATE = " + m[2]
		}
		add(stream.Entry{Section: stream.PreData, Desc: "DATABASE", Tag: "DATABASE", Defn: stream.Text(sql)})
	}
	bases := slices.Sorted(maps.Keys(a.tables))
	done := map[string]bool{}
	for _, b := range bases {
		for _, s := range a.tables[b].before {
			if !done[s] {
				done[s] = true
				desc, tag := "SEQUENCE SET", strings.TrimPrefix(b, a.database+".")
				if m := createSequence.FindStringSubmatch(s); m != nil {
					desc, tag = "SEQUENCE", unquote("`"+m[1]+"`")
					s = strings.Replace(s, "IF NOT EXISTS ", "", 1)
				}
				add(stream.Entry{Section: stream.PreData, Desc: stream.Text(desc), Tag: stream.Text(tag), Defn: stream.Text(s)})
			}
		}
	}
	ids := map[string]stream.DumpID{}
	for _, b := range bases {
		if t := a.tables[b]; t.create != "" {
			ids[t.name] = add(stream.Entry{Section: stream.PreData, Desc: "TABLE", Tag: stream.Text(t.name), Defn: stream.Text(t.create), AccessMethod: stream.Text(t.engine), Relkind: 'r'})
		}
	}
	for _, b := range bases {
		if t := a.tables[b]; len(t.files) > 0 {
			a.rows(t, ids[t.name], add)
		}
	}
	for _, b := range bases {
		t := a.tables[b]
		if len(t.refers) == 0 {
			continue
		}
		e := stream.Entry{Section: stream.PostData, Desc: "FK CHECK", Tag: stream.Text(t.name), Dependencies: []stream.DumpID{ids[t.name]}}
		for _, r := range t.refers {
			if id := ids[r]; id != 0 && !slices.Contains(e.Dependencies, id) {
				e.Dependencies = append(e.Dependencies, id)
			}
		}
		add(e)
	}
	a.makePrograms(ids, add)
}

// withMode has a program whose sql_mode the dump doesn't tell, as those of mydumper 0.10 don't, made under the server's own:
// it is what myloader would make it under.
func withMode(settings []string) []string {
	if slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "sql_mode") }) {
		return settings
	}
	return append(slices.Clone(settings), "sql_mode = @@GLOBAL.sql_mode")
}

// databaseText is the text of the file that creates the database; the file is there, or there would be no archive.
func (a *archive) databaseText() string {
	text, err := a.text(context.Background(), a.database+"-schema-create.sql")
	if err != nil {
		a.warnings = append(a.warnings, fmt.Sprintf("the database's own charset is not set: %s", err))
	}
	return text
}

// makePrograms makes their entries: views after what they name, triggers after the rows.
func (a *archive) makePrograms(ids map[string]stream.DumpID, add func(stream.Entry) stream.DumpID) {
	var all, routines []stream.DumpID
	for _, id := range ids {
		all = append(all, id)
	}
	slices.Sort(all)
	views := map[string]stream.DumpID{}
	var names []*program
	for _, p := range a.programs {
		if p.kind == "VIEW" {
			names = append(names, p)
		}
	}
	made := map[*program]bool{}
	var create func(p *program)
	create = func(p *program) {
		if made[p] {
			return
		}
		made[p] = true
		e := stream.Entry{Section: stream.PostData, Desc: stream.Text(p.kind), Tag: stream.Text(p.name), Owner: stream.Text(p.definer), Defn: stream.Text(p.create)}
		e.Defn = stream.Text("SET SESSION " + strings.Join(withMode(p.settings), ", ") + ";\n" + p.create)
		switch p.kind {
		case "VIEW":
			e.Dependencies = append(slices.Clone(all), routines...)
			for _, other := range names {
				if other != p && strings.Contains(p.create, quote(other.name)) {
					create(other)
					if id := views[other.name]; id != 0 {
						e.Dependencies = append(e.Dependencies, id)
					}
				}
			}
			views[p.name] = add(e)
		case "TRIGGER":
			e.Dependencies, e.Locks = all, all
			add(e)
		case "EVENT":
			e.Pass = stream.LastPass
			add(e)
		default:
			routines = append(routines, add(e))
		}
	}
	for _, p := range a.programs {
		if p.kind != "VIEW" && p.kind != "TRIGGER" {
			create(p)
		}
	}
	for _, p := range a.programs {
		create(p)
	}
}
