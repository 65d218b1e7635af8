package pgarchive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgarchive"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// sound is an archive of one table with two rows, a sequence, and two large objects.
func sound() *pgtoc.TOC {
	return &pgtoc.TOC{Version: pgtoc.V1_15, IntSize: 4, OffSize: 8, Format: pgtoc.Directory, DBName: "db", ServerVersion: "16.2 (a packager's)", DumpVersion: "16.3",
		Entries: []pgtoc.Entry{
			{ID: 1, Desc: "ENCODING", Tag: "ENCODING", Section: pgtoc.PreData, Defn: "SET client_encoding = 'LATIN1';\n"},
			{ID: 2, Desc: "STDSTRINGS", Tag: "STDSTRINGS", Section: pgtoc.PreData, Defn: "SET standard_conforming_strings = 'on';\n"},
			{ID: 3, Desc: "TABLE", Namespace: "public", Tag: "t", Section: pgtoc.PreData, Defn: "CREATE TABLE public.t (a int);\n", Owner: "me"},
			{ID: 4, Desc: "SEQUENCE", Namespace: "public", Tag: "s", Section: pgtoc.PreData, Defn: "CREATE SEQUENCE public.s;\n"},
			{ID: 5, Desc: "BLOB", Tag: "501", Section: pgtoc.PreData, Defn: "SELECT pg_catalog.lo_create('501');\n"},
			{ID: 6, Desc: "BLOB", Tag: "502", Section: pgtoc.PreData, Defn: "SELECT pg_catalog.lo_create('502');\n"},
			{ID: 7, Desc: "TABLE DATA", Namespace: "public", Tag: "t", Section: pgtoc.Data, HadDumper: true, File: "7.dat",
				CopyStmt: "COPY public.t (a) FROM stdin;\n", Deps: []int32{3}},
			{ID: 8, Desc: "SEQUENCE SET", Namespace: "public", Tag: "s", Section: pgtoc.Data, Defn: "SELECT pg_catalog.setval('public.s', 9, true);\n", Deps: []int32{4}},
			{ID: 9, Desc: "BLOBS", Tag: "BLOBS", Section: pgtoc.Data, HadDumper: true, File: "blobs.toc"},
			{ID: 10, Desc: "INDEX", Namespace: "public", Tag: "i", Section: pgtoc.PostData, Defn: "CREATE INDEX i ON public.t (a);\n", Deps: []int32{3, 7}},
		}}
}

// stocked is a store with the table of contents b and all the files that an index names, as far as their names are any.
func stocked(b []byte, toc *pgtoc.TOC) memory {
	m := memory{"toc.dat": b}
	var list strings.Builder
	add := func(oid string) {
		fmt.Fprintf(&list, "%s blob_%s.dat\n", oid, oid)
		m["blob_"+oid+".dat"] = []byte("object " + oid)
	}
	for i := range toc.Entries {
		switch e := &toc.Entries[i]; e.Desc {
		case "BLOB":
			add(e.Tag)
		case "BLOB METADATA":
			for _, oid := range strings.Fields(e.Defn) {
				add(oid)
			}
		}
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		switch {
		case e.File == "" || e.File == "toc.dat":
		case e.Desc == "BLOBS":
			m[e.File] = []byte(list.String())
			list.Reset()
		default:
			m[e.File] = []byte("1\n2\n\\.\n\n\n")
		}
	}
	for key := range m {
		if stream.CheckKey(key) != nil {
			delete(m, key) // no store holds it
		}
	}
	return m
}

func written(t testing.TB, toc *pgtoc.TOC) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := toc.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSound reads the archive that the other tests spoil.
func TestSound(t *testing.T) {
	toc := sound()
	l, contents, warnings := load(t, stocked(written(t, toc), toc))
	src := l.header.Source
	if src.VersionNum != 160002 || src.Version != "16.2" || src.DumpTool != "16.3" || src.Encoding != "LATIN1" || len(l.header.Run) != 36 {
		t.Errorf("header %+v", l.header)
	}
	if l.digests["public.t"].Rows != 2 || len(l.blobs) != 2 || string(l.blobs[502]) != "object 502" || len(contents.Tables) != 2 || len(warnings) != 0 {
		t.Errorf("%v, %v, %+v, %q", l.digests, l.blobs, contents, warnings)
	}
	if want := []stream.SequenceValue{{Namespace: "public", Name: "s", Last: 9, Called: true}}; !slices.Equal(contents.Sequences, want) {
		t.Errorf("sequences %+v", contents.Sequences)
	}
}

// gated is the sound archive with the table's rows in two chunks, as pgmove writes them.
func gated(t testing.TB, binary bool) *pgtoc.TOC {
	t.Helper()
	toc := sound()
	d := pgtoc.TableData{ID: 20, Table: 3, Namespace: "public", Name: "t", CopyStmt: "COPY \"public\".\"t\" (\"a\") FROM stdin;\n",
		Chunks: []pgtoc.ChunkFile{{ID: 21, File: "21.dat"}, {ID: 22, File: "22.dat"}}}
	if binary {
		d.CopyStmt = "COPY \"public\".\"t\" (\"a\") FROM stdin WITH (FORMAT binary);\n"
	}
	toc.Entries = slices.Replace(toc.Entries, 6, 7, d.Entries()...)
	return toc
}

// TestGate reads the chunks of a table as one data entry: the gate.
func TestGate(t *testing.T) {
	for _, binary := range []bool{false, true} {
		toc := gated(t, binary)
		m := stocked(written(t, toc), toc)
		if binary {
			m["21.dat"] = append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
			m["21.dat"] = append(m["21.dat"], 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0xff, 0xff)
			m["22.dat"] = m["21.dat"]
		}
		l, contents, _ := load(t, m)
		e := l.entries["TABLE DATA public.t"]
		if e.ID != 20 || !slices.Equal(e.Dependencies, []stream.DumpID{3}) || e.CopyStmt != "COPY \"public\".\"t\" (\"a\") FROM stdin;\n" {
			t.Errorf("entry %+v", e)
		}
		format, rows := stream.FormatText, int64(4)
		if binary {
			format, rows = stream.FormatBinary, 2
		}
		if l.digests["public.t"].Rows != rows || l.chunks["public.t"] != 2 || contents.Tables[0].ID != 20 || contents.Tables[0].Format != format {
			t.Errorf("%v, %v, %+v", l.digests, l.chunks, contents.Tables)
		}
	}
}

// TestHostile refuses tables of contents that pg_dump doesn't write.
func TestHostile(t *testing.T) {
	at := func(toc *pgtoc.TOC, id int32) *pgtoc.Entry { return toc.Index()[id] }
	gate := func(f func(toc *pgtoc.TOC)) func(*pgtoc.TOC) {
		return func(toc *pgtoc.TOC) {
			*toc = *gated(t, false)
			f(toc)
		}
	}
	for name, c := range map[string]struct {
		change func(toc *pgtoc.TOC)
		kind   stream.Kind
		says   string
	}{
		"rows in the index":      {func(toc *pgtoc.TOC) { at(toc, 7).File = "toc.dat" }, stream.Integrity, "toc.dat"},
		"rows in a packed name":  {func(toc *pgtoc.TOC) { at(toc, 7).File = "7.dat.gz" }, stream.Integrity, "7.dat.gz"},
		"dots":                   {func(toc *pgtoc.TOC) { at(toc, 7).File = "-" }, stream.Failed, ""},
		"one file twice":         {func(toc *pgtoc.TOC) { at(toc, 7).File = "blobs.toc" }, stream.Integrity, "two entries"},
		"rows without a file":    {func(toc *pgtoc.TOC) { at(toc, 7).File = "" }, stream.Integrity, "bytes long"},
		"file without rows":      {func(toc *pgtoc.TOC) { at(toc, 7).HadDumper = false }, stream.Integrity, "no data, nor parts"},
		"a table's own file":     {func(toc *pgtoc.TOC) { at(toc, 3).File = "3.dat" }, stream.Integrity, "has a file"},
		"data of another kind":   {func(toc *pgtoc.TOC) { e := at(toc, 8); e.HadDumper, e.File = true, "8.dat" }, stream.Preflight, "of a kind"},
		"inserts":                {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "" }, stream.Preflight, "--inserts"},
		"a program":              {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY public.t (a) FROM PROGRAM 'id';\n" }, stream.Integrity, "COPY statement"},
		"a second statement":     {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt += "DROP TABLE public.t;\n" }, stream.Integrity, "COPY statement"},
		"a query":                {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY (SELECT 1) TO stdout;\n" }, stream.Integrity, "COPY statement"},
		"an unqualified table":   {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY t (a) FROM stdin;\n" }, stream.Integrity, "COPY statement"},
		"an open quote":          {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY public.\"t (a) FROM stdin;\n" }, stream.Integrity, "COPY statement"},
		"columns without an end": {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY public.t (a, FROM stdin;\n" }, stream.Integrity, "COPY statement"},
		"options":                {func(toc *pgtoc.TOC) { at(toc, 7).CopyStmt = "COPY public.t (a) FROM stdin WITH (FORMAT csv);\n" }, stream.Integrity, "COPY statement"},
		"a table twice": {func(toc *pgtoc.TOC) {
			e := *at(toc, 7)
			e.ID, e.File = 77, "77.dat"
			toc.Entries = append(toc.Entries, e)
		}, stream.Integrity, "rows of the same table"},
		"large object twice": {func(toc *pgtoc.TOC) { at(toc, 6).Tag = "501" }, stream.Integrity, "once more"},
		"large object 0":     {func(toc *pgtoc.TOC) { at(toc, 6).Tag = "0" }, stream.Integrity, "no large object"},
		"large object x":     {func(toc *pgtoc.TOC) { at(toc, 6).Tag = "x" }, stream.Integrity, "no large object"},
		"metadata of x": {func(toc *pgtoc.TOC) { e := at(toc, 6); e.Desc, e.Defn = "BLOB METADATA", "x" },
			stream.Integrity, "no OID"},
		"large objects elsewhere": {func(toc *pgtoc.TOC) { at(toc, 9).File = "7" }, stream.Integrity, "no list"},
		"no encoding":             {func(toc *pgtoc.TOC) { at(toc, 1).Desc = "TABLE" }, stream.Integrity, "encoding"},
		"two encodings":           {func(toc *pgtoc.TOC) { *at(toc, 2) = *at(toc, 1); toc.Entries[1].ID = 2 }, stream.Integrity, "encoding"},
		"an odd encoding":         {func(toc *pgtoc.TOC) { at(toc, 1).Defn = "SET client_encoding = 'UTF8'; DROP TABLE x; --';" }, stream.Integrity, "encoding"},
		"strings with escapes":    {func(toc *pgtoc.TOC) { at(toc, 2).Defn = "SET standard_conforming_strings = 'off';\n" }, stream.Preflight, "standard_conforming_strings"},
		"no version":              {func(toc *pgtoc.TOC) { toc.ServerVersion = "" }, stream.Integrity, "version"},
		"an odd version":          {func(toc *pgtoc.TOC) { toc.ServerVersion = "15\x1b[2J" }, stream.Integrity, "version"},
		"an old archive":          {func(toc *pgtoc.TOC) { toc.Version = pgtoc.V1_13 }, stream.Preflight, "before version 12"},
		"a custom archive": {func(toc *pgtoc.TOC) {
			toc.Format = pgtoc.Custom
			for i := range toc.Entries {
				toc.Entries[i].File, toc.Entries[i].DataState = "", pgtoc.NoData
			}
		}, stream.Preflight, "custom"},
		"privileges that grow": {func(toc *pgtoc.TOC) {
			toc.Entries = append(toc.Entries,
				pgtoc.Entry{ID: 50, Desc: "BLOB METADATA", Tag: "1..2", Section: pgtoc.Data, Defn: strings.Repeat("1\n", 1<<17)},
				pgtoc.Entry{ID: 51, Desc: "ACL", Tag: "LARGE OBJECTS 1..2", Section: pgtoc.Data, Deps: []int32{50}, Defn: strings.Repeat("GRANT ALL ON LARGE OBJECT 1 TO x;\n", 1<<10)})
		}, stream.Integrity, "privileges"},
		"privileges of nothing": {func(toc *pgtoc.TOC) {
			toc.Entries = append(toc.Entries, pgtoc.Entry{ID: 51, Desc: "ACL", Tag: "LARGE OBJECTS 1..2", Section: pgtoc.Data, Deps: []int32{50}, Defn: "GRANT"})
		}, stream.Failed, ""},
		"no IDs left": {func(toc *pgtoc.TOC) {
			at(toc, 10).ID = math.MaxInt32
			for oid := range 600 {
				toc.Entries = append(toc.Entries, pgtoc.Entry{ID: int32(1000 + oid), Desc: "BLOB", Tag: fmt.Sprint(1000 + oid), Section: pgtoc.PreData})
			}
		}, stream.Integrity, "no dump IDs left"},
		"a gate of nothing": {gate(func(toc *pgtoc.TOC) { at(toc, 20).Deps = []int32{3} }), stream.Integrity, "no data, nor parts"},
		"a chunk astray":    {gate(func(toc *pgtoc.TOC) { at(toc, 20).Deps = []int32{3, 21} }), stream.Integrity, "rows of the same table"},
		"a chunk twice":     {gate(func(toc *pgtoc.TOC) { at(toc, 20).Deps = []int32{3, 21, 22, 22} }), stream.Integrity, "part of two"},
		"chunks into two":   {gate(func(toc *pgtoc.TOC) { at(toc, 22).CopyStmt = "COPY public.other (a) FROM stdin;\n" }), stream.Integrity, "differently"},
		"a gate with rows":  {gate(func(toc *pgtoc.TOC) { at(toc, 20).CopyStmt = at(toc, 21).CopyStmt }), stream.Integrity, "no data, nor parts"},
		"a circle":          {func(toc *pgtoc.TOC) { at(toc, 3).Deps = []int32{7}; at(toc, 10).Deps = []int32{10} }, stream.Failed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			toc := sound()
			c.change(toc)
			r, _, _, err := pgarchive.Open(t.Context(), stocked(written(t, toc), toc), "the archive")
			if c.kind != stream.Failed {
				wantKind(t, err, c.kind)
				if err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v: it doesn't say %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkShape(t, r)
		})
	}
}

// TestOddNames are names that Write refuses to write: the bytes are changed after it.
func TestOddNames(t *testing.T) {
	toc := sound()
	b := written(t, toc)
	for _, name := range []string{"../at", "a/dat", "..dat", "7 dat", "7\ndat"} {
		_, _, _, err := pgarchive.Open(t.Context(), stocked(bytes.Replace(b, []byte("7.dat"), []byte(name)[:5], 1), toc), "the archive")
		wantKind(t, err, stream.Integrity)
	}
}

// TestOutage: a store that fails makes no damaged archive.
func TestOutage(t *testing.T) {
	toc := sound()
	away := errors.New("the network went away")
	for _, key := range []string{"toc.dat", "blobs.toc", "a list"} {
		_, _, _, err := pgarchive.Open(t.Context(), broken{stocked(written(t, toc), toc), key, away}, "the archive")
		if !errors.Is(err, away) || stream.KindOf(err) == stream.Integrity {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// broken is a store that fails at one object, or at its list.
type broken struct {
	memory
	key string
	err error
}

func (b broken) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if key == b.key {
		return nil, b.err
	}
	return b.memory.Get(ctx, key, offset)
}

func (b broken) List(ctx context.Context, prefix string) ([]stream.ObjectInfo, error) {
	if b.key == "a list" {
		return nil, b.err
	}
	return b.memory.List(ctx, prefix)
}

// checkShape checks what every archive that is opened must hold to.
func checkShape(t testing.TB, r *stream.Reader) {
	t.Helper()
	entries, err := r.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids, data := map[stream.DumpID]bool{}, map[stream.DumpID]int{}
	for _, e := range entries {
		if ids[e.ID] || e.ID <= 0 {
			t.Errorf("entry %d is there twice", e.ID)
		}
		ids[e.ID] = true
		if (e.Table != nil) != (e.Section == stream.Data) {
			t.Errorf("entry %d is of section %s", e.ID, e.Section)
		}
		if e.Table != nil {
			data[e.ID] = 0
		}
	}
	plan, err := r.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, parts := map[string]bool{}, map[stream.DumpID]bool{}
	for _, c := range plan {
		if keys[c.Key] || parts[c.ID] || stream.CheckKey(c.Key) != nil || strings.Contains(c.Key, "/") {
			t.Errorf("chunk %+v: its key or ID is another's or none", c)
		}
		keys[c.Key], parts[c.ID] = true, true
		if n, ok := data[c.Table]; !ok || n != c.N || c.Of <= c.N {
			t.Errorf("chunk %+v after %d of its table (%t)", c, n, ok)
		}
		data[c.Table]++
	}
	for id, n := range data {
		if n == 0 {
			t.Errorf("entry %d has no chunk", id)
		}
	}
}
