package pgarchive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgarchive"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// FuzzOpen: whatever stands in toc.dat, with all the files that it names beside it, is refused with a Failure or opened as
// an archive that holds together. Bytes changed at random seldom keep the format, so one field of one entry is changed
// after it was read.
func FuzzOpen(f *testing.F) {
	all := [][]byte{written(f, sound()), written(f, gated(f, true))}
	names, err := filepath.Glob("../pgtoc/testdata/pg*.toc")
	if err != nil || len(names) == 0 {
		f.Fatalf("no archives in testdata: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
	}
	for i, b := range all {
		f.Add(b, uint16(i), uint8(0), "", int32(1))
		f.Add(b, uint16(6), uint8(i+1), "COPY public.t FROM stdin;\n", int32(7))
		f.Add(b, uint16(i+3), uint8(4), "TABLE DATA", int32(3))
		f.Add(b, uint16(i+5), uint8(4), "BLOB METADATA", int32(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint16, field uint8, text string, id int32) {
		m := memory{"toc.dat": b}
		if toc, err := pgtoc.Read(bytes.NewReader(b)); err == nil {
			change(toc, int(at), field, text, id)
			var changed bytes.Buffer
			if toc.Write(&changed) != nil {
				return
			}
			m = stocked(changed.Bytes(), toc)
		}
		r, contents, _, err := pgarchive.Open(t.Context(), m, "the archive")
		if err != nil {
			var failure *stream.Failure
			if k := stream.KindOf(err); !errors.As(err, &failure) || k != stream.Integrity && k != stream.Preflight {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		checkShape(t, r)
		if h, err := r.Header(t.Context()); err != nil || h.Source.Encoding == "" || h.Run == "" || contents.Header.Run != h.Run {
			t.Errorf("header %+v, %v", h, err)
		}
		if _, err := readAll(t.Context(), r); err != nil && stream.KindOf(err) != stream.Integrity {
			t.Errorf("rows: %v", err)
		}
	})
}

// change changes a field of an entry.
func change(toc *pgtoc.TOC, at int, field uint8, text string, id int32) {
	if len(toc.Entries) == 0 {
		return
	}
	e := &toc.Entries[at%len(toc.Entries)]
	switch field % 13 {
	case 1:
		e.CopyStmt = text
	case 2:
		e.Defn = text
	case 3:
		e.Tag = text
	case 4:
		e.Desc = text
	case 5:
		e.Namespace = text
	case 6:
		e.File = text
	case 7:
		e.HadDumper = !e.HadDumper
	case 8:
		e.Deps = nil
	case 9:
		e.Deps = append(e.Deps, id)
	case 10:
		e.ID = id
	case 11:
		e.Section = pgtoc.Section(id)
	case 12:
		e.Owner, toc.ServerVersion = text, text
	}
}
