// Package pgarchive opens a directory archive of pg_dump, as a stream.Reader: one that stock
// pg_dump wrote, or one of pgmove's whose own metadata is gone. It turns pg_dump's table of
// contents into entries, and finds the objects that hold the rows.
//
// It imports stream, stream/pgtoc and the standard library alone. It never talks to a
// database, never writes to a store, and trusts nothing of what it reads.
package pgarchive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// keyIndex is the name of the table of contents.
const keyIndex = "toc.dat"

// maxIndex bounds, in bytes, the table of contents and all lists of large objects together.
const maxIndex = 1 << 30

// archive is a directory archive while it is being understood.
type archive struct {
	store    stream.Store
	location string
	toc      *pgtoc.TOC
	byID     map[int32]*pgtoc.Entry
	sizes    map[string]int64                 // of the objects in the archive's folder
	taken    map[string]bool                  // those that belong to something
	tables   map[[2]stream.Text]*stream.Entry // what creates tables, by namespace and name
	alias    map[stream.DumpID]stream.DumpID  // entries that are part of another one
	claimed  map[int32]int32                  // chunk entries, and the gate that each belongs to
	lists    int64                            // bytes of the lists of large objects so far
	out      stream.Foreign
	contents stream.Contents
	warnings []string
}

// Open opens the archive in the store. location names it in errors.
//
// The Contents name the tables whose rows can be counted on a target; their digests are still to be
// counted while the rows are read. The warnings say what is not restored or not comparable.
//
// What isn't an archive, is damaged or contradicts itself is a Failure of kind Integrity. A sound
// archive that pgmove can't take, but pg_restore can, is one of kind Preflight.
func Open(ctx context.Context, s stream.Store, location string) (*stream.Reader, *stream.Contents, []string, error) {
	a := &archive{store: s, location: location, sizes: map[string]int64{}, taken: map[string]bool{keyIndex: true},
		tables: map[[2]stream.Text]*stream.Entry{}, alias: map[stream.DumpID]stream.DumpID{}, claimed: map[int32]int32{}}
	a.out.Objects = map[string][]stream.ForeignObject{}
	if err := a.open(ctx); err != nil {
		return nil, nil, nil, err
	}
	return stream.OpenForeign(s, location, a.out), &a.contents, a.warnings, nil
}

func (a *archive) open(ctx context.Context) error {
	sum, err := a.readIndex(ctx)
	if err != nil {
		return err
	}
	list, err := a.store.List(ctx, "")
	if err != nil {
		return fmt.Errorf("list %s: %w", a.location, err)
	}
	for _, o := range list {
		if !strings.Contains(o.Key, "/") {
			a.sizes[o.Key] = o.Size
		}
	}
	a.byID = a.toc.Index()
	if err := a.header(sum); err != nil {
		return err
	}
	if err := a.boundPrivileges(); err != nil {
		return err
	}
	if err := a.gates(); err != nil {
		return err
	}
	if err := a.entries(ctx); err != nil {
		return err
	}
	a.out.Header.Source.Roles = roles(a.out.Entries)
	a.contents.Header = a.out.Header
	a.strays()
	return nil
}

// damaged is the Failure for an archive that isn't whole or contradicts itself.
func (a *archive) damaged(format string, args ...any) *stream.Failure {
	return (&stream.Failure{Kind: stream.Integrity, Object: a.location, Msg: fmt.Sprintf(format, args...)}).
		WithHint("the archive is damaged, incomplete or was changed after it was written: dump again, or fetch it from where it is whole")
}

// refused is the Failure for a sound archive that can't be taken.
func (a *archive) refused(format string, args ...any) *stream.Failure {
	return (&stream.Failure{Kind: stream.Preflight, Object: a.location, Msg: fmt.Sprintf(format, args...)}).
		WithHint("restore it with pg_restore")
}

// readIndex reads toc.dat and returns its hash.
func (a *archive) readIndex(ctx context.Context) (sum [32]byte, err error) {
	rc, err := a.store.Get(ctx, keyIndex, 0)
	if errors.Is(err, stream.ErrNotExist) {
		return sum, a.noIndex(ctx)
	}
	if err != nil {
		return sum, fmt.Errorf("read %s: %w", keyIndex, err)
	}
	defer func() { _ = rc.Close() }()
	h := sha256.New()
	bounded := &io.LimitedReader{R: rc, N: maxIndex + 1}
	a.toc, err = pgtoc.Read(io.TeeReader(bounded, h))
	switch {
	case bounded.N <= 0:
		return sum, a.damaged("%s is larger than %d bytes", keyIndex, maxIndex)
	case errors.Is(err, pgtoc.ErrVersion):
		return sum, a.damaged("%s", keyIndex).Because(err).WithHint("a newer pgmove may know it; pg_restore of the version that dumped it does")
	case errors.Is(err, pgtoc.ErrNotArchive), errors.Is(err, pgtoc.ErrCorrupt):
		return sum, a.damaged("%s", keyIndex).Because(err)
	case err != nil:
		return sum, fmt.Errorf("read %s: %w", keyIndex, err)
	}
	h.Sum(sum[:0])
	switch {
	case a.toc.Format != pgtoc.Directory:
		return sum, a.refused("%s is an archive in the custom format, and only the directory format is taken", keyIndex)
	case !a.toc.Version.AtLeast(pgtoc.V1_14):
		return sum, a.refused("archive version %s is that of a pg_dump before version 12", a.toc.Version)
	}
	return sum, nil
}

// noIndex says what is there instead of an archive.
func (a *archive) noIndex(ctx context.Context) error {
	f := &stream.Failure{Kind: stream.Integrity, Object: a.location, Msg: "not an archive of pg_dump: there is no " + keyIndex}
	list, err := a.store.List(ctx, "")
	if err != nil {
		return f
	}
	if len(list) == 0 {
		f.Msg = "not an archive: nothing is there"
	}
	for _, o := range list {
		for _, z := range compressions[1:] {
			if o.Key == keyIndex+z.Suffix() {
				return a.refused("%s is compressed", keyIndex).WithHint("unpack it to %s, beside the data files", keyIndex)
			}
		}
	}
	return f.WithHint("give the folder that pg_dump --format=directory wrote")
}

// header makes the header from the index and the hash of it.
func (a *archive) header(sum [32]byte) error {
	version, num, err := parseVersion(a.toc.ServerVersion)
	if err != nil {
		return a.damaged("%s: the server's version", keyIndex).Because(err)
	}
	tool, _, err := parseVersion(a.toc.DumpVersion)
	if err != nil {
		return a.damaged("%s: pg_dump's version", keyIndex).Because(err)
	}
	encoding, err := a.settings()
	if err != nil {
		return err
	}
	created := a.toc.Created.Time(time.UTC) // the zone that it is of is not written down
	if y := created.Year(); y < 1970 || y > 9999 {
		created = time.Time{}
	}
	a.out.Header = stream.Header{Format: stream.FormatVersion, Run: runOf(sum), Engine: "postgresql", Tool: "pg_dump " + tool,
		Created: created, Compression: stream.Compression(a.toc.Compression.String()),
		Source: stream.Source{Version: version, VersionNum: num, Database: stream.Text(a.toc.DBName), Encoding: encoding, DumpTool: tool}}
	return nil
}

// runOf gives an archive that has no run a name for it, in a UUID's form: the same for the same archive.
func runOf(sum [32]byte) string {
	sum[6] = sum[6]&0x0f | 0x80 // version 8, of the maker's own making
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// settings reads the entries that set up pg_restore's session, and returns the encoding of the archive.
func (a *archive) settings() (encoding string, err error) {
	for i := range a.toc.Entries {
		switch e := &a.toc.Entries[i]; e.Desc {
		case "ENCODING":
			name, err := parseEncoding(e.Defn)
			if err != nil || encoding != "" {
				return "", a.damaged("%s: entry %d does not set one encoding", keyIndex, e.ID)
			}
			encoding = name
		case "STDSTRINGS":
			if strings.TrimSpace(e.Defn) != "SET standard_conforming_strings = 'on';" {
				return "", a.refused("its SQL is written for standard_conforming_strings = off").
					WithHint("dump again with standard_conforming_strings on, or restore it with pg_restore")
			}
		}
	}
	if encoding == "" {
		return "", a.damaged("%s: no entry tells the encoding", keyIndex)
	}
	return encoding, nil
}

// maxPrivileges bounds, in bytes, what privileges of grouped large objects are spelled out to.
const maxPrivileges = 1 << 30

// boundPrivileges refuses an index that a few bytes of would be spelled out to more than memory
// holds: pg_dump writes the privileges of a group of large objects once.
func (a *archive) boundPrivileges() error {
	total := int64(0)
	for i := range a.toc.Entries {
		acl := &a.toc.Entries[i]
		metadata := groupOf(acl, a.byID)
		if metadata == nil {
			continue
		}
		each, n := int64(len(acl.Defn))+16, int64(strings.Count(metadata.Defn, "\n"))+1
		if total += each * n; total > maxPrivileges {
			return a.damaged("%s: the privileges of large objects take more than %d bytes", keyIndex, maxPrivileges)
		}
	}
	return nil
}

// strays warns of objects that look like data and belong to nothing.
func (a *archive) strays() {
	n, first := 0, ""
	for key := range a.sizes {
		if !a.taken[key] {
			if n++; first == "" || key < first {
				first = key
			}
		}
	}
	if n > 0 {
		a.warnings = append(a.warnings, fmt.Sprintf("files that %s does not name are not restored: %s%s", keyIndex, first, more(n-1)))
	}
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
