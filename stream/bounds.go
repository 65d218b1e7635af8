package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What an archive's metadata says is bounded and checked against itself before anything is done
// with it: keys, sizes and counts are an attacker's until then.

// maxObject is the size of the largest object that a store takes, in bytes: S3's limit of 48.8 TiB,
// rounded up.
const maxObject = 50 << 40

// check checks a manifest of the run by itself.
func (m *Manifest) check(run string) error {
	if m.Contents.Header.Run != run || m.Contents.Header.Format != FormatVersion {
		return errors.New("its contents are of another run")
	}
	keys := map[string]bool{}
	take := func(o Object) error {
		if err := o.check(); err != nil {
			return err
		}
		if keys[o.Key] {
			return fmt.Errorf("object %s is listed twice", o.Key)
		}
		keys[o.Key] = true
		return nil
	}
	for _, o := range m.Objects {
		if err := take(o); err != nil {
			return err
		}
	}
	for _, key := range []string{keyHeader, keyEntries, keyPlan} {
		if !keys[key] {
			return fmt.Errorf("it does not list %s", key)
		}
	}
	if m.Contents.Header.Roles && !keys[keyRoles] {
		return fmt.Errorf("it does not list %s", keyRoles)
	}
	plan := make([]Chunk, len(m.Chunks))
	sums := map[DumpID]Digest{}
	for i := range m.Chunks {
		c := &m.Chunks[i]
		if err := c.check(); err != nil {
			return err
		}
		for _, o := range c.Objects {
			if strings.Contains(o.Key, "/") {
				return fmt.Errorf("object %s of a chunk is not beside the index", o.Key)
			}
			if err := take(o); err != nil {
				return err
			}
		}
		plan[i] = c.Chunk
		d := sums[c.Table]
		d.Add(c.Digest)
		sums[c.Table] = d
	}
	tables := map[DumpID]bool{}
	for i := range m.Contents.Tables {
		t := &m.Contents.Tables[i]
		if _, twice := tables[t.ID]; twice {
			return fmt.Errorf("table %s is listed twice", tableText(&t.Table))
		}
		tables[t.ID] = t.Table.LargeObjects
		if sums[t.ID] != t.Digest {
			return fmt.Errorf("the digest of %s is not the sum of its chunks'", tableText(&t.Table))
		}
	}
	return checkPlan(plan, tables)
}

func tableText(t *Table) string { return (&Entry{Namespace: t.Namespace, Tag: t.Name}).Name() }

func (o *Object) check() error {
	if err := CheckKey(o.Key); err != nil {
		return err
	}
	if o.Size < 0 || o.Size > maxObject {
		return fmt.Errorf("object %s: a size of %d bytes", o.Key, o.Size)
	}
	return nil
}

// check checks a record by itself.
func (r *Record) check() error {
	if err := r.Chunk.check(); err != nil {
		return err
	}
	if r.RawBytes < 0 {
		return fmt.Errorf("chunk %s: %d bytes of rows", r.Key, r.RawBytes)
	}
	if r.Format != FormatBlobs && (len(r.Objects) != 1 || r.Objects[0].Key != r.Key) {
		return fmt.Errorf("chunk %s: it is not one object of that name", r.Key)
	}
	for i := range r.Objects {
		if err := r.Objects[i].check(); err != nil {
			return err
		}
		if r.Format == FormatBlobs {
			if _, err := blobOID(r.Objects[i].Key); err != nil {
				return fmt.Errorf("object %s: %w", r.Objects[i].Key, err)
			}
		}
	}
	return nil
}

func (r *Record) equal(o *Record) bool {
	return r.Chunk == o.Chunk && r.Digest == o.Digest && r.RawBytes == o.RawBytes && slices.Equal(r.Objects, o.Objects)
}

// check checks a chunk by itself.
func (c *Chunk) check() error {
	if err := CheckKey(c.Key); err != nil {
		return err
	}
	switch {
	case strings.Contains(c.Key, "/"):
		return fmt.Errorf("chunk %s is not beside the index", c.Key)
	case c.Format != FormatText && c.Format != FormatBinary && c.Format != FormatBlobs:
		return fmt.Errorf("chunk %s: no such format: %.40q", c.Key, c.Format)
	case c.ID <= 0 || c.Table <= 0 || c.Of < 1 || c.N < 0 || c.N >= c.Of:
		return fmt.Errorf("chunk %s: it is number %d of %d, with ID %d, of entry %d", c.Key, c.N+1, c.Of, c.ID, c.Table)
	}
	return nil
}

// Check checks contents by themselves that come from a file: what says nothing would compare as equal.
func (c *Contents) Check() error {
	switch {
	case c.Header.Format != FormatVersion:
		return fmt.Errorf("their format is version %d, this pgmove reads %d", c.Header.Format, FormatVersion)
	case c.Header.Run == "" || c.Header.Engine == "" || c.Header.Source.Encoding == "":
		return errors.New("they don't say of which run and which source they are")
	}
	seen := map[DumpID]bool{}
	for i := range c.Tables {
		t := &c.Tables[i]
		switch {
		case t.ID <= 0 || seen[t.ID]:
			return fmt.Errorf("two tables have the ID %d, or it is none", t.ID)
		case t.Format != FormatText && t.Format != FormatBinary && t.Format != FormatBlobs, t.Table.LargeObjects != (t.Format == FormatBlobs):
			return fmt.Errorf("the format of %s is %.40q", tableText(&t.Table), t.Format)
		case t.Digest.Rows < 0:
			return fmt.Errorf("%s has %d rows", tableText(&t.Table), t.Digest.Rows)
		}
		seen[t.ID] = true
	}
	return nil
}

// CheckPlan checks that the chunks are all those of the entries with rows.
func CheckPlan(plan []Chunk, entries []Entry) error {
	data, err := checkEntries(entries)
	if err != nil {
		return err
	}
	return checkPlan(plan, data)
}

// checkPlan checks that the chunks are all those of the data entries: by ID, whether an entry is of
// large objects.
func checkPlan(plan []Chunk, data map[DumpID]bool) error {
	keys, ids := map[string]bool{}, map[DumpID]bool{}
	seen := map[DumpID]map[int]bool{}
	for i := range plan {
		c := &plan[i]
		if err := c.check(); err != nil {
			return err
		}
		blobs, ok := data[c.Table]
		switch {
		case !ok:
			return fmt.Errorf("chunk %s is of entry %d, which has no rows or isn't there", c.Key, c.Table)
		case blobs != (c.Format == FormatBlobs):
			return fmt.Errorf("chunk %s: its format is %s", c.Key, c.Format)
		case keys[c.Key] || ids[c.ID]:
			return fmt.Errorf("chunk %s is listed twice", c.Key)
		}
		keys[c.Key], ids[c.ID] = true, true
		if seen[c.Table] == nil {
			seen[c.Table] = map[int]bool{}
		}
		if seen[c.Table][c.N] {
			return fmt.Errorf("chunk %s: another one is number %d of its table", c.Key, c.N+1)
		}
		seen[c.Table][c.N] = true
	}
	for i := range plan {
		if c := &plan[i]; len(seen[c.Table]) != c.Of {
			return fmt.Errorf("entry %d has %d chunks of %d", c.Table, len(seen[c.Table]), c.Of)
		}
	}
	for id := range data {
		if len(seen[id]) == 0 {
			return fmt.Errorf("entry %d has no chunk", id)
		}
	}
	return nil
}

// checkEntries checks the entries by themselves and returns the data entries, true for large objects'.
func checkEntries(entries []Entry) (map[DumpID]bool, error) {
	ids, data := make(map[DumpID]bool, len(entries)), map[DumpID]bool{}
	for i := range entries {
		e := &entries[i]
		if e.ID <= 0 || ids[e.ID] {
			return nil, fmt.Errorf("two entries have the ID %d, or it is none", e.ID)
		}
		ids[e.ID] = true
		if (e.Table != nil) != (e.Section == Data) {
			return nil, fmt.Errorf("entry %d (%s %s) is of section %s", e.ID, e.Desc.Display(), e.Name(), e.Section)
		}
		if e.Table != nil {
			data[e.ID] = e.Table.LargeObjects
		}
	}
	return data, nil
}

// matches checks that the plan's chunks are the manifest's.
func (m *Manifest) matches(plan []Chunk, records map[string]*Record) error {
	if len(plan) != len(records) {
		return fmt.Errorf("it has %d chunks, the manifest %d", len(plan), len(records))
	}
	for _, c := range plan {
		if rec := records[c.Key]; rec == nil || rec.Chunk != c {
			return fmt.Errorf("chunk %s is not as the manifest has it", c.Key)
		}
	}
	return nil
}

// object checks an object against what the manifest says of it.
func (m *Manifest) object(got Object) error {
	for _, o := range m.Objects {
		if o.Key == got.Key {
			return m.same(o, got)
		}
	}
	return errors.New("the manifest does not list it")
}

// same says how an object differs from what it must be. m, which may be nil, tells whether it is
// another object of the archive in the wrong place.
func (m *Manifest) same(want, got Object) error {
	if want.Size == got.Size && want.SHA256 == got.SHA256 {
		return nil
	}
	if m != nil && got.Size > 0 {
		if other := m.keyOf(got); other != "" {
			return fmt.Errorf("it holds what belongs to %s", other)
		}
	}
	if got.Size < want.Size {
		return fmt.Errorf("it is cut short: %d bytes of %d", got.Size, want.Size)
	}
	if got.Size > want.Size {
		return fmt.Errorf("it is longer than the %d bytes that were written", want.Size)
	}
	return errors.New("its SHA-256 is not what was written down when it was stored")
}

// keyOf finds the object with that content, "" for none.
func (m *Manifest) keyOf(got Object) string {
	for _, o := range m.Objects {
		if o.SHA256 == got.SHA256 && o.Size == got.Size {
			return o.Key
		}
	}
	for i := range m.Chunks {
		for _, o := range m.Chunks[i].Objects {
			if o.SHA256 == got.SHA256 && o.Size == got.Size {
				return o.Key
			}
		}
	}
	return ""
}
