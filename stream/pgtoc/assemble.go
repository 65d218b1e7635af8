package pgtoc

import (
	"fmt"
	"time"
)

// Options are what an assembled archive sets anew in the header.
type Options struct {
	// Version is the archive's version; the zero Version keeps the schema's, raised to 1.15 where the
	// compression is one that older versions cannot name.
	Version Version
	// Compression is that of the data files.
	Compression Compression
	// Created is when the archive was made, in the zone that it shall show.
	Created time.Time
}

// Assemble returns the table of contents of a directory archive that holds the schema's entries as
// they are and the data entries between its pre-data and post-data.
//
// The schema is that of pg_dump --section=pre-data --section=post-data, in the directory
// or the custom format. The data entries keep their order; their IDs must exceed schema.MaxID().
// Neither argument is changed, but the result shares their strings and slices.
func Assemble(schema *TOC, data []Entry, o Options) (*TOC, error) {
	if err := checkData(schema, data); err != nil {
		return nil, err
	}
	t := *schema
	t.Format, t.IntSize, t.OffSize = Directory, 4, 8
	if !o.Created.IsZero() {
		t.Created = ClockOf(o.Created)
	}
	at := schema.postData()
	t.Entries = make([]Entry, 0, len(schema.Entries)+len(data))
	t.Entries = append(t.Entries, schema.Entries[:at]...)
	t.Entries = append(t.Entries, data...)
	t.Entries = append(t.Entries, schema.Entries[at:]...)
	for i := range t.Entries {
		t.Entries[i].DataState, t.Entries[i].Offset = 0, 0
	}
	to := o.Version
	if to == (Version{}) {
		to = t.Version
		if o.Compression > Gzip && !to.HasMethod() {
			to = V1_15
		}
	}
	if err := t.convert(to); err != nil {
		return nil, err
	}
	t.Compression, t.Level = o.Compression, 0
	if o.Compression == Gzip && !to.HasMethod() {
		t.Level = -1
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	return &t, nil
}

// checkData refuses data entries that pg_restore would take wrongly or not at all.
func checkData(schema *TOC, data []Entry) error {
	files := make(map[string]bool)
	for i := range schema.Entries {
		if e := &schema.Entries[i]; e.HadDumper || e.File != "" {
			return fmt.Errorf("the schema's entry %d (%s %s) has data of its own", e.ID, e.Desc, e.Tag)
		}
	}
	top := schema.MaxID()
	ids := make(map[int32]bool, len(data))
	for i := range data {
		ids[data[i].ID] = true
	}
	for i := range data {
		e := &data[i]
		switch {
		case e.ID <= top:
			return fmt.Errorf("data entry %d (%s %s): its ID must exceed %d, the schema's largest", e.ID, e.Desc, e.Tag, top)
		case e.Section != Data && (e.Section != SectionNone || i == 0):
			return fmt.Errorf("data entry %d (%s %s) is of section %s", e.ID, e.Desc, e.Tag, e.Section)
		case e.HadDumper != (e.File != ""):
			return fmt.Errorf("data entry %d (%s %s): a data dumper and a file go together", e.ID, e.Desc, e.Tag)
		case e.File != "" && files[e.File]:
			return fmt.Errorf("data entry %d (%s %s): another entry has the file %s", e.ID, e.Desc, e.Tag, e.File)
		}
		files[e.File] = true
		for _, d := range e.Deps {
			if d > top && !ids[d] {
				return fmt.Errorf("data entry %d (%s %s): no entry %d, on which it depends", e.ID, e.Desc, e.Tag, d)
			}
		}
	}
	return nil
}

// convert rewrites the archive in another version, where nothing is lost on the way.
func (t *TOC) convert(to Version) error {
	from := t.Version
	if err := to.Check(); err != nil {
		return err
	}
	if from == to {
		return nil
	}
	switch {
	case !from.AtLeast(V1_14) || !to.AtLeast(V1_14):
		return fmt.Errorf("%w: an archive of version %s can't be rewritten as %s: only 1.14 and later can", ErrVersion, from, to)
	case to.HasRelkind() && !from.HasRelkind():
		return fmt.Errorf("%w: an archive of version %s can't be rewritten as %s: it doesn't hold the relkinds", ErrVersion, from, to)
	}
	if from.HasRelkind() && !to.HasRelkind() {
		// The result shares no entry with what t was made of, save strings and slices.
		for i := range t.Entries {
			e := &t.Entries[i]
			switch {
			case e.Desc == DescBlobMetadata:
				return fmt.Errorf("%w: an archive of version %s with large objects can't be rewritten as %s", ErrVersion, from, to)
			case e.Relkind == 'p' && e.TableAM != "":
				return fmt.Errorf("%w: an archive of version %s can't be rewritten as %s: partitioned table %s has an access method", ErrVersion, from, to, e.Tag)
			}
			e.Relkind = 0
		}
	}
	t.Version = to
	return nil
}
