package pgtoc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const magic = "PGDMP"

// Read reads a table of contents: a whole toc.dat, or the head of a custom-format archive,
// whose data it leaves alone. It may take more bytes from r than it
// needs, but waits for none beyond the last entry of a custom-format archive.
func Read(r io.Reader) (*TOC, error) {
	src := &source{r: r}
	d := &decoder{src: src, r: bufio.NewReaderSize(src, 64<<10), entry: -1}
	t := &TOC{}
	n := d.header(t)
	for i := 0; i < n && d.err == nil; i++ {
		d.entry, d.id = i, 0
		var e Entry
		d.readEntry(t, &e)
		if d.err == nil {
			t.Entries = append(t.Entries, e)
		}
	}
	d.entry = -1
	if d.err == nil && t.Format == Directory {
		d.field = "end"
		if _, err := d.r.ReadByte(); err == nil {
			d.fail("bytes follow the last entry")
		} else if err != io.EOF {
			d.failRead(err)
		}
	}
	if d.err == nil {
		d.err = t.checkIDs()
	}
	if d.err != nil {
		return nil, d.err
	}
	return t, nil
}

// source remembers why its reader failed: a connection that breaks with
// io.ErrUnexpectedEOF doesn't make the archive a corrupt one.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// decoder reads the archive's fields. The first error stays and says where it
// happened; what is read after it is zero.
type decoder struct {
	src     *source
	r       *bufio.Reader
	entry   int   // the entry's place from 0; -1 in the header
	id      int32 // its ID, once read
	field   string
	strings int // bytes of all strings so far
	deps    int
	shared  map[string]string
	scratch [256]byte
	err     error
}

func (d *decoder) where() string {
	switch {
	case d.entry < 0:
		return "header, " + d.field
	case d.id == 0:
		return fmt.Sprintf("entry %d, %s", d.entry+1, d.field)
	}
	return fmt.Sprintf("entry %d (dump ID %d), %s", d.entry+1, d.id, d.field)
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: %s", ErrCorrupt, d.where(), fmt.Sprintf(format, args...))
	}
}

// failRead keeps a reader's own failure apart from an input that ends too early.
func (d *decoder) failRead(err error) {
	switch {
	case d.err != nil:
	case d.src.err == nil && (err == io.EOF || err == io.ErrUnexpectedEOF):
		d.err = fmt.Errorf("%w: %s: %w", ErrCorrupt, d.where(), io.ErrUnexpectedEOF)
	default:
		d.err = fmt.Errorf("read archive: %s: %w", d.where(), err)
	}
}

func (d *decoder) bytes(n int) []byte {
	b := d.scratch[:n]
	if d.err == nil {
		if _, err := io.ReadFull(d.r, b); err == nil {
			return b
		} else {
			d.failRead(err)
		}
	}
	clear(b)
	return b
}

func (d *decoder) byte(field string) byte {
	d.field = field
	return d.bytes(1)[0]
}

// int reads a sign byte and four bytes of magnitude.
func (d *decoder) int(field string) int32 {
	d.field = field
	b := d.bytes(5)
	sign, m := b[0], binary.LittleEndian.Uint32(b[1:])
	switch {
	case sign > 1 || sign == 1 && m == 0:
		d.fail("an integer's sign byte is %d", sign)
	case m > math.MaxInt32:
		d.fail("an integer of %d", m)
	case sign == 1:
		return -int32(m)
	default:
		return int32(m)
	}
	return 0
}

func (d *decoder) bool(field string) bool {
	n := d.int(field)
	if n != 0 && n != 1 {
		d.fail("%d is neither 0 nor 1", n)
	}
	return n == 1
}

// maxShared is the length, in bytes, up to which equal strings share their memory: names of schemas, roles and kinds of
// objects come with every entry.
const maxShared = 32

func (d *decoder) share(b []byte) string {
	if s, ok := d.shared[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.shared == nil {
		d.shared = map[string]string{}
	}
	if len(d.shared) < 1000 {
		d.shared[s] = s
	}
	return s
}

// str reads a string; ok is false for NULL. It takes memory as the bytes come, never on
// the word of the length alone.
func (d *decoder) str(field string) (s string, ok bool) {
	n := int(d.int(field))
	if d.err != nil || n == -1 {
		return "", false
	}
	if n < 0 {
		d.fail("a string of %d bytes", n)
		return "", false
	}
	if d.strings += n; n > maxStrings || d.strings > maxStrings {
		d.fail("more than %d bytes of strings", maxStrings)
		return "", false
	}
	switch {
	case n <= maxShared:
		s = d.share(d.bytes(n))
	case n <= len(d.scratch):
		s = string(d.bytes(n))
	default:
		var b strings.Builder
		if _, err := io.CopyN(&b, d.r, int64(n)); err != nil {
			d.failRead(err)
			return "", false
		}
		s = b.String()
	}
	if strings.IndexByte(s, 0) >= 0 {
		// pg_restore would see another string than we do.
		d.fail("a string holds a zero byte")
	}
	return s, true
}

// nullable reads a string and keeps in null whether it is NULL.
func (d *decoder) nullable(field string, null *Null, bit Null) string {
	s, ok := d.str(field)
	if !ok {
		*null |= bit
	}
	return s
}

func (d *decoder) required(field string) string {
	s, ok := d.str(field)
	if !ok {
		d.fail("it is NULL")
	}
	return s
}

// decimal reads a number that is written as a string, in the one form that
// pg_dump gives it.
func (d *decoder) decimal(s string, limit uint64) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if d.err == nil && (err != nil || n > limit || strconv.FormatUint(n, 10) != s) {
		d.fail("%.40q is not a number of its range", s)
		return 0
	}
	return n
}

func (d *decoder) header(t *TOC) (entries int) {
	d.field = "signature"
	if head := d.bytes(len(magic)); d.err == nil && string(head) != magic || errors.Is(d.err, ErrCorrupt) {
		d.err = fmt.Errorf("%w: it doesn't begin with %s", ErrNotArchive, magic)
	}
	t.Version = Version{d.byte("version"), d.byte("version"), d.byte("version")}
	if d.err == nil {
		d.err = t.Version.Check()
	}
	if t.IntSize = d.byte("integer size"); t.IntSize != 4 {
		d.fail("integers of %d bytes", t.IntSize)
	}
	if t.OffSize = d.byte("offset size"); t.OffSize != 4 && t.OffSize != 8 {
		d.fail("offsets of %d bytes", t.OffSize)
	}
	if t.Format = Format(d.byte("format")); t.Format != Custom && t.Format != Directory {
		d.fail("format code %d is neither a custom nor a directory archive's", t.Format)
	}
	d.compression(t)
	for _, f := range t.Created.fields() {
		*f = d.int("creation time")
	}
	t.DBName = d.nullable("database name", &t.Null, NullDBName)
	t.ServerVersion = d.nullable("server version", &t.Null, NullServerVersion)
	t.DumpVersion = d.nullable("pg_dump version", &t.Null, NullDumpVersion)
	n := d.int("entry count")
	if n < 0 || n > maxEntries {
		d.fail("%d entries", n)
	}
	return int(n)
}

func (c *Clock) fields() [7]*int32 {
	return [7]*int32{&c.Sec, &c.Min, &c.Hour, &c.Day, &c.Month, &c.Year, &c.IsDST}
}

func (d *decoder) compression(t *TOC) {
	if t.Version.HasMethod() {
		if t.Compression = Compression(d.byte("compression")); t.Compression > Zstd {
			d.fail("no such compression: %d", uint8(t.Compression))
		}
		return
	}
	t.Level = d.int("compression")
	switch {
	case t.Level < -1 || t.Level > 9:
		d.fail("compression level %d", t.Level)
	case t.Level != 0:
		t.Compression = Gzip
	}
}

func (d *decoder) readEntry(t *TOC, e *Entry) {
	id := d.int("dump ID")
	if id <= 0 {
		d.fail("%d is no dump ID", id)
	}
	d.id, e.ID = id, id
	e.HadDumper = d.bool("data dumper")
	e.CatalogID[0] = uint32(d.decimal(d.required("catalog table"), math.MaxUint32))
	e.CatalogID[1] = uint32(d.decimal(d.required("OID"), math.MaxUint32))
	e.Tag = d.required("tag")
	e.Desc = d.required("description")
	s := d.int("section")
	if s < int32(SectionNone) || s > int32(PostData) {
		d.fail("no such section: %d", s)
	}
	e.Section = Section(s)
	e.Defn = d.nullable("definition", &e.Null, NullDefn)
	e.DropStmt = d.nullable("drop statement", &e.Null, NullDropStmt)
	e.CopyStmt = d.nullable("COPY statement", &e.Null, NullCopyStmt)
	e.Namespace = d.nullable("namespace", &e.Null, NullNamespace)
	e.Tablespace = d.nullable("tablespace", &e.Null, NullTablespace)
	if t.Version.HasTableAM() {
		e.TableAM = d.nullable("table access method", &e.Null, NullTableAM)
	}
	if t.Version.HasRelkind() {
		k := d.int("relkind")
		if k < 0 || k > 127 {
			d.fail("relkind %d", k)
		}
		e.Relkind = byte(k)
	}
	e.Owner = d.nullable("owner", &e.Null, NullOwner)
	switch oids := d.required("WITH OIDS"); oids {
	case "true":
		e.WithOIDs = true
	case "false":
	default:
		d.fail("%.40q is neither true nor false", oids)
	}
	d.dependencies(e)
	if t.Format == Custom {
		e.DataState = DataState(d.byte("data offset"))
		if e.DataState < OffsetUnset || e.DataState > NoData {
			d.fail("no such state of an offset: %d", e.DataState)
		}
		var b [8]byte
		copy(b[:], d.bytes(int(t.OffSize)))
		e.Offset = binary.LittleEndian.Uint64(b[:])
		return
	}
	if e.File = d.required("file name"); e.File != "" && d.err == nil {
		if err := CheckFile(e.File); err != nil {
			d.fail("%v", err)
		}
	}
}

func (d *decoder) dependencies(e *Entry) {
	for d.err == nil {
		s, ok := d.str("dependencies")
		if !ok {
			return
		}
		id := d.decimal(s, math.MaxInt32)
		if id == 0 {
			d.fail("%.40q is no dump ID", s)
		}
		if d.deps++; d.deps > maxDeps {
			d.fail("more than %d dependencies", maxDeps)
		}
		e.Deps = append(e.Deps, int32(id))
	}
}

// checkIDs refuses an ID that two entries bear: everything that is told by ID
// would be told of one of them.
func (t *TOC) checkIDs() error {
	seen := make(map[int32]struct{}, len(t.Entries))
	for i := range t.Entries {
		id := t.Entries[i].ID
		if _, dup := seen[id]; dup {
			return fmt.Errorf("%w: entry %d (dump ID %d): another entry has the same ID", ErrCorrupt, i+1, id)
		}
		seen[id] = struct{}{}
	}
	return nil
}
