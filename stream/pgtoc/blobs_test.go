package pgtoc

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

// TestAddLargeObjects: the schema and the large objects of a second run are the entries
// that one whole dump has, but for the IDs.
func TestAddLargeObjects(t *testing.T) {
	full := readArchive(t, "testdata/pg17-full.toc")
	schema := readArchive(t, "testdata/pg17-schema.toc")
	run := readArchive(t, "testdata/pg17-data.toc")
	run.Entries[0].Deps = []int32{1 << 30} // a boundary that no archive holds
	top := schema.MaxID()
	if err := schema.AddLargeObjects(run); err != nil {
		t.Fatal(err)
	}
	var want []Entry
	for _, e := range full.Entries {
		switch e.Desc {
		case DescTableData, DescSequenceSet, DescBlobs:
			continue
		}
		want = append(want, e)
	}
	if len(schema.Entries) != len(want) {
		t.Fatalf("%d entries, want %d", len(schema.Entries), len(want))
	}
	was := make(map[int32]int32) // IDs of the one as those of the other
	for i := range want {
		was[want[i].ID] = schema.Entries[i].ID
	}
	added := 0
	for i := range want {
		got, want := schema.Entries[i], want[i]
		if got.ID > top {
			added++
			for j, d := range want.Deps {
				want.Deps[j] = was[d]
			}
			want.ID = got.ID
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if added != 5 {
		t.Errorf("%d entries added", added)
	}
	if !slices.IsSorted(schema.Sections()) {
		t.Errorf("sections out of order: %v", schema.Sections())
	}
	if err := schema.Check(); err != nil {
		t.Error(err)
	}
	if _, err := Assemble(schema, nil, Options{Version: V1_14}); !errors.Is(err, ErrVersion) {
		t.Errorf("rewritten in a version without BLOB METADATA: %v", err)
	}
	toc, err := Assemble(schema, nil, Options{Compression: Zstd})
	if err != nil || toc.Version != V1_16 {
		t.Errorf("assembled: %v", err)
	}
}

func TestAddLargeObjectsElsewhere(t *testing.T) {
	old := readArchive(t, "testdata/pg15-schema.toc")
	n := len(old.Entries)
	if err := old.AddLargeObjects(readArchive(t, "testdata/pg15-data.toc")); err != nil || len(old.Entries) != n {
		t.Errorf("before 1.16 there is nothing to add: %v", err)
	}
	schema := readArchive(t, "testdata/pg18-schema.dump")
	if err := schema.AddLargeObjects(readArchive(t, "testdata/pg15-data.toc")); !errors.Is(err, ErrVersion) {
		t.Errorf("of another version: %v", err)
	}
	run := readArchive(t, "testdata/pg17-data.toc")
	if err := schema.AddLargeObjects(run); err != nil {
		t.Error(err)
	}
	if err := schema.Check(); err != nil {
		t.Error(err)
	}
	for i := range run.Entries {
		if run.Entries[i].Desc == DescBlobMetadata {
			run.Entries[i].Desc = "TABLE"
		}
	}
	if err := schema.AddLargeObjects(run); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an ACL of no large object: %v", err)
	}
}

func TestLargeObjects(t *testing.T) {
	got, err := LargeObjects(&Entry{Defn: "1\n50011\n4294967295\n"})
	if err != nil || !reflect.DeepEqual(got, []uint32{1, 50011, 1<<32 - 1}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"0\n", "1\n\n2\n", "4294967296\n", "1; DROP TABLE t\n", "01\n", "-1\n"} {
		if got, err := LargeObjects(&Entry{Defn: bad}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestLargeObjectsACL(t *testing.T) {
	metadata := &Entry{Defn: "7\n8\n"}
	acl := func(tag, defn string) *Entry { return &Entry{Desc: "ACL", Tag: tag, Defn: defn} }
	for _, c := range []struct {
		acl  *Entry
		want string
	}{
		{acl("LARGE OBJECT 7", "GRANT SELECT ON LARGE OBJECT 7 TO a;\n"), "GRANT SELECT ON LARGE OBJECT 7 TO a;\n"},
		{
			acl("LARGE OBJECTS 7..8", "REVOKE ALL ON LARGE OBJECT 7 FROM a;\nGRANT ALL ON LARGE OBJECT 7 TO \"x; LARGE OBJECT 7\";\n"),
			"REVOKE ALL ON LARGE OBJECT 7 FROM a;\nREVOKE ALL ON LARGE OBJECT 8 FROM a;\n" +
				"GRANT ALL ON LARGE OBJECT 7 TO \"x; LARGE OBJECT 7\";\nGRANT ALL ON LARGE OBJECT 8 TO \"x; LARGE OBJECT 7\";\n",
		},
		{
			acl("LARGE OBJECTS 7..8", "SET SESSION AUTHORIZATION b;\nGRANT ALL ON LARGE OBJECT 7 TO \"a\"\"b\";\nRESET SESSION AUTHORIZATION;\n\n"),
			"SET SESSION AUTHORIZATION b;\nGRANT ALL ON LARGE OBJECT 7 TO \"a\"\"b\";\nGRANT ALL ON LARGE OBJECT 8 TO \"a\"\"b\";\nRESET SESSION AUTHORIZATION;\n",
		},
	} {
		got, err := LargeObjectsACL(c.acl, metadata)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.acl.Tag, err, got, c.want)
		}
	}
	if _, err := LargeObjectsACL(acl("LARGE OBJECTS 7..8", "GRANT ALL ON LARGE OBJECT 7 TO \"a;\n"), metadata); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a name without end: %v", err)
	}
	if _, err := LargeObjectsACL(acl("LARGE OBJECTS 7..8", ""), &Entry{Defn: "x"}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no OIDs: %v", err)
	}
}
