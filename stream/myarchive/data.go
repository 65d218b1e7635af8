package myarchive

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

var (
	// part is what follows a table's name in the names of files with rows.
	part = regexp.MustCompile(`^(\.\d+){0,2}\.(sql|dat)$`)
	// loadData is a statement that loads a file. REPLACE would let rows take others' places without a word.
	loadData = regexp.MustCompile(`(?s)^LOAD DATA LOCAL INFILE '([A-Za-z0-9_.+-]+)'( REPLACE)?( INTO TABLE ` + ident + `( (?:CHARACTER SET|FIELDS|COLUMNS|LINES|\().*))$`)
)

// calls are what LOAD DATA statements of mydumper's and pgmove's have before parentheses. Another function may be one that writes.
var calls = []string{"", "AND", "BINARY", "CAST", "CHAR", "COALESCE", "CONVERT", "DECIMAL", "IF", "LINES", "UNHEX"}

// plainLoad reports whether what follows the table's name in a LOAD DATA statement names and calls nothing of the database.
func plainLoad(tail string) bool {
	list, ok := words(tail)
	return ok && !slices.ContainsFunc(list, func(w word) bool {
		name := w.text == "" && w.after == '('
		return name || w.after == '.' || w.text == "SELECT" || w.after == '(' && !slices.Contains(calls, w.text)
	})
}

// data finds the files with rows. All that is neither of these nor has a known other use is refused.
func (a *archive) data(context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		if name == Index || !strings.HasPrefix(name, a.database) || known(name) {
			if name != Index && !known(name) {
				return a.refused("it has a file that pgmove does not know: %s", stream.Text(name).Display())
			}
			continue
		}
		t, rest := a.tableOf(name)
		if t == nil || !part.MatchString(rest) {
			return a.refused("it has a file that belongs to no table there: %s", stream.Text(name).Display())
		}
		t.files = append(t.files, name)
	}
	return nil
}

// known reports whether a file is none with rows.
func known(name string) bool {
	for _, s := range []string{"-schema-create.sql", "-schema-post.sql", "-schema-view.sql", "-schema-triggers.sql", "-schema-sequence.sql", "-schema.sql", "-metadata", "-checksum", "-schema-checksum", "-schema-post-checksum", "-schema-triggers-checksum"} {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return name == Index
}

// tableOf finds the table whose files' name begins the file's, and what follows it.
func (a *archive) tableOf(name string) (*table, string) {
	for i := len(name) - 1; i > len(a.database); i-- {
		if name[i] != '.' {
			continue
		}
		if t := a.tables[name[:i]]; t != nil && part.MatchString(name[i:]) {
			return t, name[i:]
		}
	}
	return nil, ""
}

// rows makes the data entry of a table, and its chunks: files of INSERT statements, or those that LOAD DATA statements name.
func (a *archive) rows(t *table, id stream.DumpID, add func(stream.Entry) stream.DumpID) {
	e := stream.Entry{Section: stream.Data, Desc: "TABLE DATA", Tag: stream.Text(t.name), Dependencies: []stream.DumpID{id},
		Table: &stream.Table{Name: stream.Text(t.name), Rows: -1}}
	if n, ok := a.counted[t.base]; ok {
		e.Table.Rows = n
	}
	var chunks []stream.Chunk
	for _, name := range t.files {
		base, isSQL := strings.CutSuffix(name, ".sql")
		if _, loaded := a.files[base+".dat"]; isSQL && loaded {
			continue // its statement was read: see loads
		}
		f := a.files[name]
		chunks = append(chunks, stream.Chunk{N: len(chunks), Format: stream.FormatForeign, Key: f.key, Bytes: f.size})
		a.out.Objects[f.key] = []stream.ForeignObject{{Key: f.key, Compression: f.z}}
		e.Table.Bytes += f.size
	}
	e.CopyStmt = stream.Text(t.load)
	e.ID = add(e)
	for i := range chunks {
		c := &chunks[i]
		c.Table, c.Of, c.ID = e.ID, len(chunks), e.ID
		if len(chunks) > 1 {
			c.ID = stream.DumpID(1<<20 + len(a.out.Plan) + i)
		}
	}
	a.out.Plan = append(a.out.Plan, chunks...)
	if strings.Contains(t.create, " SEQUENCE=1") {
		a.warnings = append(a.warnings, "the position of sequence "+e.Name()+" is not compared")
		return
	}
	a.contents.Tables = append(a.contents.Tables, stream.TableContents{ID: e.ID, Table: *e.Table, Format: stream.FormatForeign})
}

// loads reads the statements that load files, which must be one and the same for all files of a table.
func (a *archive) loads(ctx context.Context) error {
	for _, b := range slices.Sorted(maps.Keys(a.tables)) {
		t := a.tables[b]
		plain := 0
		for _, name := range t.files {
			base, isSQL := strings.CutSuffix(name, ".sql")
			if !isSQL {
				if _, ok := a.files[base[:len(base)-len(".dat")]+".sql"]; !ok {
					return a.damaged("%s is there without the statement that loads it", name)
				}
				continue
			}
			if _, ok := a.files[base+".dat"]; !ok {
				plain++
				continue
			}
			if err := a.load(ctx, t, name, base+".dat"); err != nil {
				return err
			}
		}
		if plain > 0 && t.load != "" {
			return a.refused("rows of table %s are in files of two forms", stream.Text(t.name).Display())
		}
	}
	return nil
}

func (a *archive) load(ctx context.Context, t *table, name, dat string) error {
	text, err := a.text(ctx, name)
	if err != nil {
		return err
	}
	found := ""
	for _, s := range statements(text) {
		m := loadData.FindStringSubmatch(s)
		switch {
		case m == nil && passed.MatchString(s):
		case m == nil || found != "" || !plainLoad(m[5]):
			return a.refused("%s holds a statement that pgmove does not take: %.60s", name, stream.Text(s).Display())
		case m[1] != a.files[dat].key && m[1] != dat:
			return a.damaged("%s loads %s, and not the file beside it", name, stream.Text(m[1]).Display())
		case unquote("`"+m[4]+"`") != t.name:
			return a.damaged("%s loads rows of another table", name)
		default:
			found = "LOAD DATA LOCAL INFILE ''" + m[3]
		}
	}
	if found == "" {
		return a.damaged("%s holds no statement that loads %s", name, dat)
	}
	if t.load != "" && t.load != found {
		return a.refused("the files of table %s are loaded differently", stream.Text(t.name).Display())
	}
	t.load = found
	return nil
}
