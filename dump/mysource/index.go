package mysource

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// This is what makes the archive a mydumper directory. Rows are where their statements (LOAD DATA LOCAL) look for them:
//
//	db.table.00000.dat[.zst]  rows            db.table.00000.sql  the statement that loads them
//	db-schema-create.sql      the database    db.table-schema.sql  a table with its indexes and keys, or a sequence
//	db-schema-post.sql        routines, views, triggers and events, in the order in which they can be made
//	metadata                  where the snapshot is, and the tables
//
// Views are no files of their own, as mydumper has them: what they are made of must be there, functions too.

// stockHead begins each file. Names are utf8mb4 where mydumper writes binary, under which an ENUM's members in UCS-2 or KOI8-R
// would be other ones. Rows with a past need the last setting, which others than MariaDB 10.11 and newer take
// for a comment.
const stockHead = "/*!40101 SET NAMES utf8mb4*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'*/;\n" +
	"/*!40103 SET TIME_ZONE='+00:00' */;\n/*M!101100 SET SESSION system_versioning_insert_history=1 */;\n"

// plain are the names that file names can be made of.
var plain = regexp.MustCompile(`^[A-Za-z0-9_]{1,150}$`)

// aliased are names that others are known by.
var aliased = regexp.MustCompile(`^(?i:pgmove_[a-z]+[0-9]*)$`)

// databaseFile begins the names of the archive's files: the database's name, or one in its place.
func (s *Source) databaseFile() string {
	if db := s.conn.Database(); plain.MatchString(db) {
		return db
	}
	return "pgmove_database"
}

// nameFiles gives each table and sequence the name that its files have: its own, or an alias where that is odd, or differs from
// another one by the case of letters alone, which not every file system tells apart.
func (s *Source) nameFiles() {
	s.files = make(map[string]string, len(s.order))
	seen := map[string]bool{}
	for i, r := range s.order {
		low := strings.ToLower(r.name)
		if s.files[r.name] = r.name; !plain.MatchString(r.name) || aliased.MatchString(r.name) || seen[low] {
			s.files[r.name] = fmt.Sprintf("pgmove_table%d", i+1)
		}
		seen[low] = true
	}
}

func (s *Source) tableFile(name string) string { return s.databaseFile() + "." + s.files[name] }

// ChunkName is the name of a chunk's file.
func (s *Source) ChunkName(e *stream.Entry, c *stream.Chunk) string {
	return fmt.Sprintf("%s.%05d.dat", s.tableFile(string(e.Table.Name)), c.N)
}

// Index makes the files with SQL and, last of all, metadata: with them the archive is one that stock myloader loads.
func (s *Source) Index(entries []stream.Entry, _ []stream.Chunk, records []stream.Record, _ stream.Compression) ([]stream.NamedObject, error) {
	x := &index{s: s, byTable: map[stream.DumpID][]stream.Record{}, sequences: map[string]string{}}
	for _, r := range records {
		x.byTable[r.Table] = append(x.byTable[r.Table], r)
	}
	// Every mydumper directory has this one, and pgmove knows by it what it is.
	x.file(s.databaseFile()+"-schema-create.sql", whole("CREATE DATABASE IF NOT EXISTS "+mysession.Ident(s.conn.Database())+
		" /*!40100 DEFAULT"+strings.TrimPrefix(s.database, "ALTER DATABASE")+" */"))
	for i := range entries {
		x.sequence(&entries[i])
	}
	for i := range entries {
		x.entry(&entries[i])
	}
	if x.post.Len() > 0 {
		x.file(s.databaseFile()+"-schema-post.sql", x.post.String())
	}
	return append(x.out, stream.NamedObject{Key: "metadata", Data: x.metadata()}), nil
}

// index is a mydumper directory's files while they are made.
type index struct {
	s         *Source
	byTable   map[stream.DumpID][]stream.Record
	sequences map[string]string // by name: the statements that make it
	post      strings.Builder
	tables    bytes.Buffer // their sections of metadata
	out       []stream.NamedObject
}

// file adds a file; each line of SQL that ends in a semicolon ends a statement there.
func (x *index) file(name, sql string) {
	x.out = append(x.out, stream.NamedObject{Key: name, Data: []byte(stockHead + sql)})
}

// whole is a statement of one or several lines, none of which but the last ends in a semicolon: a blank after
// it is what mydumper puts there too.
func whole(statement string) string { return strings.ReplaceAll(statement, ";\n", "; \n") + ";\n" }

// sequence collects what makes the sequences, which tables may need.
func (x *index) sequence(e *stream.Entry) {
	switch {
	case e.Desc == descSequence:
		x.sequences[string(e.Tag)] = whole(strings.Replace(string(e.Defn), "CREATE SEQUENCE ", "CREATE SEQUENCE IF NOT EXISTS ", 1))
	case e.Desc == descSet && x.sequences[string(e.Tag)] != "":
		x.sequences[string(e.Tag)] += whole(setting(e))
	}
}

// setting is the statement that sets a sequence, without a row as its answer.
func setting(e *stream.Entry) string { return strings.Replace(string(e.Defn), "SELECT ", "DO ", 1) }

func (x *index) entry(e *stream.Entry) {
	s, name, sel := x.s, string(e.Tag), &x.s.opts.Selection
	switch {
	case e.Table != nil:
		x.data(e)
	case e.Desc == descSet && (!sel.Has(stream.PreData) || x.sequences[name] == "" && !x.all()):
		x.after(setting(e)) // elsewhere it comes with what is made
	case !sel.Wants(e):
	case e.Desc == descSequence:
		x.file(s.tableFile(name)+"-schema.sql", x.sequences[name])
	case e.Desc == descTable:
		sql := ""
		if len(e.Dependencies) > 0 {
			for _, r := range s.order {
				sql += x.sequences[r.name]
			}
		}
		x.file(s.tableFile(name)+"-schema.sql", sql+whole(x.table(e)))
	case e.Section == stream.PostData && strings.HasPrefix(string(e.Defn), "SET SESSION "):
		settings, create := mysession.Statements(string(e.Defn))
		if x.post.Len() > 0 {
			x.post.WriteString(stockHead)
		}
		x.post.WriteString(settings + ";\n" + whole(create))
	case e.Section == stream.PostData && !sel.Has(stream.PreData):
		x.after(string(e.Defn)) // keys, which else come with their table
	}
}

// all reports whether all sections are in the archive.
func (x *index) all() bool { return len(x.s.opts.Selection.Sections) == 0 }

// table is the statement that makes a table, with what comes with it in the sections that are moved.
func (x *index) table(e *stream.Entry) string {
	switch name := string(e.Tag); {
	case x.all() && x.s.picks.TakesRows(name):
		return x.s.creates[name]
	case x.s.opts.Selection.Has(stream.PostData):
		return x.s.wholes[name]
	}
	return string(e.Defn)
}

// after adds a statement to those that come after the rows, and before programs and their settings.
func (x *index) after(sql string) { x.post.WriteString(whole(sql)) }

// data makes the statements that load a table's rows.
func (x *index) data(e *stream.Entry) {
	records := x.byTable[e.ID]
	slices.SortFunc(records, func(a, b stream.Record) int { return cmp.Compare(a.N, b.N) })
	rows := int64(0)
	for i := range records {
		r := &records[i]
		rows += r.Digest.Rows
		base, _, _ := strings.Cut(r.Key, ".dat")
		x.file(base+".sql", whole(mysession.LoadFrom(string(e.CopyStmt), r.Key)))
	}
	fmt.Fprintf(&x.tables, "[`%s`.`%s`]\n", x.s.databaseFile(), x.s.files[string(e.Tag)])
	if x.s.files[string(e.Tag)] != string(e.Tag) {
		fmt.Fprintf(&x.tables, "real_table_name=%s\n", iniValue(string(e.Tag)))
	}
	fmt.Fprintf(&x.tables, "rows = %d\n\n", rows)
}

// metadata is the directory's index.
func (x *index) metadata() []byte {
	var b bytes.Buffer
	now := time.Now().UTC().Format(time.DateTime)
	fmt.Fprintf(&b, "# Started dump at: %s\n[config]\nquote-character = BACKTICK\nlocal-infile = 1\n\n", now)
	var at []string
	for _, f := range strings.Fields(x.s.facts.Snapshot) {
		k, v, _ := strings.Cut(f, "=")
		switch k {
		case "file":
			at = append(at, "File = "+v)
		case "position":
			at = append(at, "Position = "+v)
		case "gtid":
			at = append(at, "Executed_Gtid_Set = "+v)
		}
	}
	if len(at) > 0 {
		fmt.Fprintf(&b, "[source]\n%s\n\n", strings.Join(at, "\n"))
	}
	b.Write(x.tables.Bytes())
	fmt.Fprintf(&b, "# Finished dump at: %s\n", now)
	return b.Bytes()
}

// iniValue writes a value as GLib's key files escape it.
func iniValue(s string) string {
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s)
	if strings.HasPrefix(s, " ") {
		s = `\s` + s[1:]
	}
	return s
}
