package pgtoc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// forge writes archives by hand, apart from the package's own writer.
type forge struct{ bytes.Buffer }

func (f *forge) num(n int) *forge {
	if n < 0 {
		f.WriteByte(1)
		n = -n
	} else {
		f.WriteByte(0)
	}
	_ = binary.Write(f, binary.LittleEndian, uint32(n))
	return f
}

func (f *forge) str(all ...string) *forge {
	for _, s := range all {
		f.num(len(s)).WriteString(s)
	}
	return f
}

func (f *forge) head(minor, format byte, entries int) *forge {
	f.WriteString("PGDMP")
	f.Write([]byte{1, minor, 0, 4, 8, format})
	if minor >= 15 {
		f.WriteByte(3)
	} else {
		f.num(-1)
	}
	for _, n := range []int{59, 58, 23, 21, 10, 126, 0} {
		f.num(n)
	}
	return f.str("db", "15.1", "15.1").num(entries)
}

// row writes an entry of which the interesting fields can be broken.
type row struct {
	id, dumper, section, relkind int
	oid, withOIDs, file          string
	deps                         []string
}

func good() row {
	return row{id: 7, dumper: 1, section: 3, oid: "4294967295", withOIDs: "false", file: "7.dat", deps: []string{"3", "2147483647"}}
}

func (f *forge) row(minor, format byte, r row) *forge {
	f.num(r.id).num(r.dumper).str("0", r.oid, "tag", "TABLE DATA").num(r.section)
	f.str("").num(-1).str("COPY", "s").num(-1) // defn, drop, copy, namespace, tablespace
	if minor >= 14 {
		f.num(-1)
	}
	if minor >= 16 {
		f.num(r.relkind)
	}
	f.str("me", r.withOIDs).str(r.deps...).num(-1)
	if format == 1 {
		f.WriteByte(2)
		_ = binary.Write(f, binary.LittleEndian, uint64(1<<40))
		return f
	}
	return f.str(r.file)
}

func archive(minor, format byte, rows ...row) []byte {
	var f forge
	f.head(minor, format, len(rows))
	for _, r := range rows {
		f.row(minor, format, r)
	}
	return f.Bytes()
}

func TestByHand(t *testing.T) {
	for minor := byte(12); minor <= 16; minor++ {
		for _, format := range []byte{1, 3} {
			t.Run(fmt.Sprintf("1.%d/%d", minor, format), func(t *testing.T) {
				r := good()
				if minor >= 16 {
					r.relkind = 'r'
				}
				b := archive(minor, format, r)
				toc, err := Read(iotest.OneByteReader(bytes.NewReader(b)))
				if err != nil {
					t.Fatal(err)
				}
				want := Entry{
					ID: 7, HadDumper: true, CatalogID: [2]uint32{0, 1<<32 - 1}, Tag: "tag", Desc: "TABLE DATA",
					Section: Data, CopyStmt: "COPY", Namespace: "s", Owner: "me", Relkind: byte(r.relkind),
					Null: NullDropStmt | NullTablespace, Deps: []int32{3, 1<<31 - 1},
				}
				if minor >= 14 {
					want.Null |= NullTableAM
				}
				if format == 1 {
					want.DataState, want.Offset = OffsetSet, 1<<40
				} else {
					want.File = "7.dat"
				}
				if !reflect.DeepEqual(toc.Entries, []Entry{want}) {
					t.Errorf("read %+v\nwant %+v", toc.Entries, want)
				}
				wantComp := Gzip
				if minor >= 15 {
					wantComp = Zstd
				}
				if toc.Compression != wantComp || toc.DBName != "db" || toc.ServerVersion != "15.1" {
					t.Errorf("header: %+v", toc)
				}
				if got := toc.Created.Time(time.UTC); !got.Equal(time.Date(2026, 11, 21, 23, 58, 59, 0, time.UTC)) {
					t.Errorf("created %v", got)
				}
				if c := ClockOf(toc.Created.Time(time.UTC)); c != toc.Created {
					t.Errorf("clock %+v, want %+v", c, toc.Created)
				}
				var out bytes.Buffer
				if err := toc.Write(&out); err != nil || !bytes.Equal(out.Bytes(), b) {
					t.Errorf("written otherwise than read: %v", err)
				}
			})
		}
	}
}

// TestTruncated cuts an archive at every byte.
func TestTruncated(t *testing.T) {
	for _, format := range []byte{1, 3} {
		b := archive(16, format, good())
		for n := range b {
			_, err := Read(bytes.NewReader(b[:n]))
			if n < len(magic) {
				if !errors.Is(err, ErrNotArchive) {
					t.Fatalf("%d bytes: %v", n, err)
				}
				continue
			}
			if !errors.Is(err, ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		_, err := Read(bytes.NewReader(b[:len(b)-1]))
		if !strings.Contains(err.Error(), "entry 1 (dump ID 7)") {
			t.Errorf("the error doesn't say where: %v", err)
		}
	}
}

// TestBrokenReader tells a reader's failure from an archive's.
func TestBrokenReader(t *testing.T) {
	b := archive(14, 3, good())
	for _, cause := range []error{errors.New("reset by peer"), io.ErrUnexpectedEOF} {
		for _, n := range []int{0, 3, 40, len(b) - 3, len(b)} {
			_, err := Read(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(cause)))
			if !errors.Is(err, cause) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotArchive) {
				t.Errorf("after %d bytes: %v", n, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	change := func(minor, format byte, f func(*row)) []byte {
		r := good()
		f(&r)
		return archive(minor, format, r)
	}
	patch := func(at int, v byte) []byte {
		b := archive(14, 3, good())
		b[at] = v
		return b
	}
	head := func(f func(*forge)) []byte {
		var b forge
		f(b.head(14, 3, 1))
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":               {nil, ErrNotArchive},
		"text":                {[]byte("-- PostgreSQL database dump"), ErrNotArchive},
		"1.11":                {archive(11, 3), ErrVersion},
		"1.17":                {archive(17, 3), ErrVersion},
		"2.14":                {patch(5, 2), ErrVersion},
		"integers of 8":       {patch(8, 8), ErrCorrupt},
		"offsets of 0":        {patch(9, 0), ErrCorrupt},
		"format 5":            {patch(10, 5), ErrCorrupt},
		"compression level":   {patch(12, 77), ErrCorrupt},
		"sign 2":              {patch(11, 2), ErrCorrupt},
		"minus zero":          {patch(12, 0), ErrCorrupt},
		"trailing":            {append(archive(14, 3, good()), 0), ErrCorrupt},
		"same ID twice":       {archive(14, 3, good(), good()), ErrCorrupt},
		"ID 0":                {change(14, 3, func(r *row) { r.id = 0 }), ErrCorrupt},
		"ID -7":               {change(14, 3, func(r *row) { r.id = -7 }), ErrCorrupt},
		"ID 2^31":             {change(14, 3, func(r *row) { r.id = 1 << 31 }), ErrCorrupt},
		"dumper 2":            {change(14, 3, func(r *row) { r.dumper = 2 }), ErrCorrupt},
		"section 0":           {change(14, 3, func(r *row) { r.section = 0 }), ErrCorrupt},
		"section 5":           {change(14, 3, func(r *row) { r.section = 5 }), ErrCorrupt},
		"OID 2^32":            {change(14, 3, func(r *row) { r.oid = "4294967296" }), ErrCorrupt},
		"OID 01":              {change(14, 3, func(r *row) { r.oid = "01" }), ErrCorrupt},
		"OID -1":              {change(14, 3, func(r *row) { r.oid = "-1" }), ErrCorrupt},
		"with OIDs maybe":     {change(14, 3, func(r *row) { r.withOIDs = "maybe" }), ErrCorrupt},
		"zero byte":           {change(14, 3, func(r *row) { r.withOIDs = "false\x00" }), ErrCorrupt},
		"relkind":             {change(16, 3, func(r *row) { r.relkind = 300 }), ErrCorrupt},
		"dependency 0":        {change(14, 3, func(r *row) { r.deps = []string{"0"} }), ErrCorrupt},
		"dependency 2^31":     {change(14, 3, func(r *row) { r.deps = []string{"2147483648"} }), ErrCorrupt},
		"dependency x":        {change(14, 3, func(r *row) { r.deps = []string{"x"} }), ErrCorrupt},
		"file ..":             {change(14, 3, func(r *row) { r.file = ".." }), ErrCorrupt},
		"file elsewhere":      {change(14, 3, func(r *row) { r.file = "../7.dat" }), ErrCorrupt},
		"file in a folder":    {change(14, 3, func(r *row) { r.file = "a/7.dat" }), ErrCorrupt},
		"string of -2":        {head(func(f *forge) { f.num(7).num(0).num(-2) }), ErrCorrupt},
		"NULL tag":            {head(func(f *forge) { f.num(7).num(0).str("0", "0").num(-1) }), ErrCorrupt},
		"NULL catalog":        {head(func(f *forge) { f.num(7).num(0).num(-1) }), ErrCorrupt},
		"too many entries":    {new(forge).head(14, 3, maxEntries+1).Bytes(), ErrCorrupt},
		"too few entries":     {new(forge).head(14, 3, -1).Bytes(), ErrCorrupt},
		"offset's state":      {append(bytes.TrimSuffix(archive(14, 1, good()), []byte("\x02\x00\x00\x00\x00\x00\x01\x00\x00")), make([]byte, 9)...), ErrCorrupt},
		"a compression of 4":  {func() []byte { b := archive(15, 3); b[11] = 4; return b }(), ErrCorrupt},
		"a name of 300 bytes": {change(14, 3, func(r *row) { r.file = strings.Repeat("a", 300) }), ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			toc, err := Read(bytes.NewReader(c.b))
			if toc != nil || !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("refused for its end alone: %v", err)
			}
		})
	}
}

// TestForgedLengths reads archives that promise a gigabyte and hold nothing.
func TestForgedLengths(t *testing.T) {
	for name, b := range map[string][]byte{
		"string":  new(forge).head(14, 3, 1).num(7).num(0).num(maxStrings - 100).Bytes(),
		"entries": new(forge).head(14, 3, maxEntries).Bytes(),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Read(bytes.NewReader(b))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("%d bytes allocated", n)
			}
		})
	}
	_, err := Read(bytes.NewReader(new(forge).head(14, 3, 1).num(7).num(0).num(maxStrings + 1).Bytes()))
	if !errors.Is(err, ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a string over the bound: %v", err)
	}
}

// TestCustomDoesNotWait reads the head of a custom-format archive from a pipe whose writer
// stays silent after it.
func TestCustomDoesNotWait(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write(archive(14, 1, good())) }()
	done := make(chan error, 1)
	go func() {
		_, err := Read(r)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Read waits for bytes that it doesn't need")
		_ = w.Close()
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, f := range map[string]func(*TOC){
		"version":         func(c *TOC) { c.Version.Minor = 17 },
		"format":          func(c *TOC) { c.Format = 5 },
		"integers":        func(c *TOC) { c.IntSize = 0 },
		"zstd in 1.14":    func(c *TOC) { c.Compression = Zstd },
		"compression":     func(c *TOC) { c.Version, c.Compression = V1_15, 4 },
		"level":           func(c *TOC) { c.Level = 10 },
		"clock":           func(c *TOC) { c.Created.Sec = -1 << 31 },
		"database":        func(c *TOC) { c.DBName = "a\x00b" },
		"ID":              func(c *TOC) { c.Entries[0].ID = 0 },
		"two IDs":         func(c *TOC) { c.Entries = append(c.Entries, c.Entries[0]) },
		"section":         func(c *TOC) { c.Entries[0].Section = 0 },
		"dependency":      func(c *TOC) { c.Entries[0].Deps = []int32{-1} },
		"file":            func(c *TOC) { c.Entries[0].File = "a/b" },
		"defn":            func(c *TOC) { c.Entries[0].Defn = "\x00" },
		"relkind":         func(c *TOC) { c.Entries[0].Relkind = 'r' },
		"access method":   func(c *TOC) { c.Version, c.Entries[0].TableAM = V1_13, "heap" },
		"file in custom":  func(c *TOC) { c.Format = Custom },
		"offset's state":  func(c *TOC) { c.Format, c.Entries[0].File = Custom, "" },
		"offset's length": func(c *TOC) { *c = custom(c, 1<<32) },
	} {
		t.Run(name, func(t *testing.T) {
			toc, err := Read(bytes.NewReader(archive(14, 3, good())))
			if err != nil {
				t.Fatal(err)
			}
			f(toc)
			var out bytes.Buffer
			err = toc.Write(&out)
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Error(err)
			}
			if out.Len() > 0 {
				t.Errorf("%d bytes written", out.Len())
			}
		})
	}
}

func custom(c *TOC, offset uint64) TOC {
	c.Format, c.OffSize = Custom, 4
	c.Entries[0].File, c.Entries[0].DataState, c.Entries[0].Offset = "", OffsetSet, offset
	return *c
}

// TestNull: an empty string and NULL are two things, and a string wins over its mark.
func TestNull(t *testing.T) {
	toc, err := Read(bytes.NewReader(archive(14, 3, good())))
	if err != nil {
		t.Fatal(err)
	}
	toc.Null = NullDBName | NullServerVersion
	toc.DBName = ""
	e := &toc.Entries[0]
	e.Null = NullDefn | NullOwner | NullTableAM
	e.Defn, e.Owner = "", "somebody"
	var out bytes.Buffer
	if err := toc.Write(&out); err != nil {
		t.Fatal(err)
	}
	again, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	if again.Null != NullDBName || again.ServerVersion != "15.1" {
		t.Errorf("header: %x %q", again.Null, again.ServerVersion)
	}
	if n := again.Entries[0].Null; n != NullDefn|NullTableAM || again.Entries[0].Owner != "somebody" {
		t.Errorf("entry: %x", n)
	}
}
