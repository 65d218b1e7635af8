package pgtoc

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func readArchive(t *testing.T, name string) *TOC {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	toc, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return toc
}

func TestArchivesOfPgDump(t *testing.T) {
	for _, name := range testArchives(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			toc := readArchive(t, name)
			checkIdentity(t, toc, b)
			if len(toc.Entries) < 5 || toc.DBName != "src" || toc.Entries[0].Desc != "ENCODING" {
				t.Errorf("%d entries of %q", len(toc.Entries), toc.DBName)
			}
			if toc.Created.Year != 126 {
				t.Errorf("created in %d", toc.Created.Year+1900)
			}
			index := toc.Index()
			for _, e := range toc.ByCatalog() {
				if index[e.ID] != e {
					t.Errorf("entry %d stands twice", e.ID)
				}
			}
		})
	}
}

// rebuild takes the data entries of a full archive and puts them into the schema's: what comes out
// must be the full archive again, but for the IDs.
func rebuild(t *testing.T, full, schema *TOC, o Options) *TOC {
	t.Helper()
	next := schema.MaxID()
	byCatalog := schema.ByCatalog()
	var data []Entry
	for i := range full.Entries {
		e := full.Entries[i]
		if e.Section != Data {
			continue
		}
		next++
		switch e.Desc {
		case DescTableData:
			d := TableData{
				ID: next, OID: e.CatalogID[1], Namespace: e.Namespace, Name: e.Tag, Owner: e.Owner,
				CopyStmt: e.CopyStmt, Chunks: []ChunkFile{{File: e.File}},
			}
			if table := byCatalog[[2]uint32{1259, e.CatalogID[1]}]; table != nil {
				d.Table = table.ID
			}
			data = append(data, d.Entries()...)
		case DescSequenceSet:
			at := slices.IndexFunc(schema.Entries, func(s Entry) bool {
				return s.Desc == "SEQUENCE" && s.Tag == e.Tag && s.Namespace == e.Namespace
			})
			data = append(data, SequenceSet(next, &schema.Entries[at], e.Defn))
		default:
			e.ID = next
			data = append(data, e)
		}
	}
	toc, err := Assemble(schema, data, o)
	if err != nil {
		t.Fatal(err)
	}
	return toc
}

func TestAssembleIsStock(t *testing.T) {
	full := readArchive(t, "testdata/pg15-full.toc")
	for _, name := range []string{"testdata/pg15-schema.toc", "testdata/pg15-schema.dump"} {
		schema := readArchive(t, name)
		before := readArchive(t, name)
		toc := rebuild(t, full, schema, Options{Compression: Gzip})
		if !reflect.DeepEqual(schema, before) {
			t.Error("the schema was changed")
		}
		if len(toc.Entries) != len(full.Entries) {
			t.Fatalf("%d entries, want %d", len(toc.Entries), len(full.Entries))
		}
		toc.Created = full.Created
		for i := range toc.Entries {
			got, want := toc.Entries[i], full.Entries[i]
			if want.Section == Data {
				want.ID = got.ID
				if want.Tag == "conf" {
					want.Deps = nil // on a table that pg_dump didn't write
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
			}
		}
		toc.Entries, full.Entries = nil, full.Entries[:0:0]
		toc.Entries = full.Entries
		if !reflect.DeepEqual(toc, full) {
			t.Errorf("header: got %+v, want %+v", toc, full)
		}
		full = readArchive(t, "testdata/pg15-full.toc")
	}
}

func splitTable(schema *TOC) TableData {
	next := schema.MaxID()
	at := slices.IndexFunc(schema.Entries, func(e Entry) bool { return e.Desc == "TABLE" && e.Tag == "big" })
	e := &schema.Entries[at]
	return TableData{
		ID: next + 1, Table: e.ID, OID: e.CatalogID[1], Namespace: e.Namespace, Name: e.Tag, Owner: e.Owner,
		CopyStmt: "COPY s.big (id, t) FROM stdin;\n",
		Chunks:   []ChunkFile{{next + 2, "a.dat"}, {next + 3, "b.dat"}, {next + 4, "c.dat"}},
	}
}

func TestGate(t *testing.T) {
	schema := readArchive(t, "testdata/pg15-schema.toc")
	d := splitTable(schema)
	d.Root, d.Deps = "s.root", []int32{d.ID + 9}
	got := d.Entries()
	if len(got) != 4 {
		t.Fatalf("%d entries", len(got))
	}
	for i, e := range got[:3] {
		want := Entry{
			ID: d.Chunks[i].ID, HadDumper: true, CatalogID: [2]uint32{0, d.OID}, Tag: "big", Desc: "TABLE DATA", Section: Data,
			Defn: "-- load via partition root s.root", CopyStmt: d.CopyStmt, Namespace: "s", Owner: "app",
			Null: NullDropStmt | NullTablespace | NullTableAM, File: d.Chunks[i].File,
		}
		if !reflect.DeepEqual(e, want) {
			t.Errorf("chunk %d: %+v\nwant %+v", i, e, want)
		}
	}
	want := Entry{
		ID: d.ID, CatalogID: [2]uint32{0, d.OID}, Tag: "big", Desc: "TABLE DATA", Section: Data, Namespace: "s", Owner: "app",
		Null: NullDropStmt | NullTablespace | NullTableAM | NullCopyStmt, Deps: []int32{d.Table, d.ID + 9, d.ID + 1, d.ID + 2, d.ID + 3},
	}
	if !reflect.DeepEqual(got[3], want) {
		t.Errorf("gate: %+v\nwant %+v", got[3], want)
	}
}

func TestAssembleHeader(t *testing.T) {
	schema := readArchive(t, "testdata/pg15-schema.toc")
	d := splitTable(schema)
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		o       Options
		version Version
		level   int32
	}{
		{Options{Compression: None}, V1_14, 0},
		{Options{Compression: Gzip, Created: at}, V1_14, -1},
		{Options{Compression: Zstd, Created: at}, V1_15, 0},
		{Options{Compression: LZ4}, V1_15, 0},
		{Options{Compression: Gzip, Version: V1_15}, V1_15, 0},
	} {
		toc, err := Assemble(schema, d.Entries(), c.o)
		if err != nil {
			t.Error(err)
			continue
		}
		if toc.Version != c.version || toc.Compression != c.o.Compression || toc.Level != c.level || toc.Format != Directory {
			t.Errorf("%+v: %+v", c.o, toc)
		}
		if created := toc.Created.Time(time.UTC); !c.o.Created.IsZero() && !created.Equal(at) {
			t.Errorf("created %v", created)
		}
		var out bytes.Buffer
		if err := toc.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out)
		if err != nil || !reflect.DeepEqual(again.Sections(), toc.Sections()) || again.MaxID() != d.ID+3 {
			t.Errorf("read again: %v", err)
		}
		if !slices.IsSorted(again.Sections()) {
			t.Errorf("sections out of order: %v", again.Sections())
		}
	}
}

func TestAssembleRefuses(t *testing.T) {
	for name, f := range map[string]func(schema *TOC, data []Entry, o *Options) []Entry{
		"an ID of the schema": func(s *TOC, d []Entry, _ *Options) []Entry { d[0].ID = s.MaxID(); return d },
		"an ID twice":         func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].ID = d[1].ID; d[3].Deps = nil; return d },
		"a file twice":        func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].File = d[1].File; return d },
		"a file's name":       func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].File = "a/b"; return d },
		"no file":             func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].File = ""; return d },
		"no data":             func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].HadDumper = false; return d },
		"a missing chunk":     func(_ *TOC, d []Entry, _ *Options) []Entry { return d[1:] },
		"post-data":           func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].Section = PostData; return d },
		"a comment first":     func(_ *TOC, d []Entry, _ *Options) []Entry { d[0].Section = SectionNone; return d },
		"data in the schema":  func(s *TOC, d []Entry, _ *Options) []Entry { s.Entries[4].File = "x.dat"; return d },
		"zstd in 1.14":        func(_ *TOC, d []Entry, o *Options) []Entry { o.Version, o.Compression = V1_14, Zstd; return d },
		"1.13":                func(_ *TOC, d []Entry, o *Options) []Entry { o.Version = V1_13; return d },
		"1.17":                func(_ *TOC, d []Entry, o *Options) []Entry { o.Version = Version{1, 17, 0}; return d },
		"1.14 as 1.16":        func(_ *TOC, d []Entry, o *Options) []Entry { o.Version = V1_16; return d },
		"1.16 as 1.15 with LOBs": func(s *TOC, d []Entry, o *Options) []Entry {
			s.Version, o.Version, d[0].Desc = V1_16, V1_15, DescBlobMetadata
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			schema := readArchive(t, "testdata/pg15-schema.toc")
			d := splitTable(schema)
			var o Options
			data := f(schema, d.Entries(), &o)
			if _, err := Assemble(schema, data, o); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestConvert(t *testing.T) {
	schema := readArchive(t, "testdata/pg15-schema.toc")
	schema.Version, schema.Entries[9].Relkind = V1_16, 'r'
	toc, err := Assemble(schema, nil, Options{Version: V1_14})
	if err != nil {
		t.Fatal(err)
	}
	if toc.Entries[9].Relkind != 0 || schema.Entries[9].Relkind != 'r' {
		t.Error("the relkind was not dropped, or in the schema too")
	}
	if _, err := Assemble(schema, nil, Options{Version: V1_13}); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	schema.Entries[9].Relkind, schema.Entries[9].TableAM = 'p', "columnar"
	if _, err := Assemble(schema, nil, Options{Version: V1_15}); !errors.Is(err, ErrVersion) {
		t.Errorf("a partitioned table's access method was lost: %v", err)
	}
}

func TestCheckFile(t *testing.T) {
	for _, name := range []string{"1.dat", "blobs_12.toc", "A-b_c.d.e", ".hidden", strings.Repeat("a", maxFileName)} {
		if err := CheckFile(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".", "..", "a..b", "a/b", "/a", `a\b`, "a b", "ä", "a\n", "a\x00", strings.Repeat("a", maxFileName+1)} {
		if CheckFile(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []Compression{None, Gzip, LZ4, Zstd} {
		if p, err := ParseCompression(c.String()); err != nil || p != c {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := ParseCompression("lzma"); err == nil {
		t.Error("lzma was taken")
	}
	if Gzip.Suffix()+LZ4.Suffix()+Zstd.Suffix()+None.Suffix() != ".gz.lz4.zst" {
		t.Error("suffixes")
	}
	if SectionNone.String() != "none" || PostData.String() != "post-data" || Section(9).String() != "section(9)" || V1_14.String() != "1.14-0" {
		t.Error("names")
	}
}

// TestListedByPgRestore has stock pg_restore list an archive with a split table, where there is one.
func TestListedByPgRestore(t *testing.T) {
	program, err := exec.LookPath("pg_restore")
	if err != nil {
		t.Skip("no pg_restore in PATH")
	}
	schema := readArchive(t, "testdata/pg15-schema.dump")
	d := splitTable(schema)
	toc, err := Assemble(schema, d.Entries(), Options{Compression: Gzip})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "toc.dat"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(toc.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-l", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n := strings.Count(string(out), " TABLE DATA s big app\n"); n != 3 {
		t.Errorf("pg_restore lists %d chunks, not 3:\n%s", n, out)
	}
	if data, post := strings.LastIndex(string(out), "TABLE DATA"), strings.Index(string(out), " CONSTRAINT "); data > post {
		t.Errorf("data after post-data:\n%s", out)
	}
}
