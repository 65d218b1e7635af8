package pgtoc

import (
	"fmt"
	"strconv"
	"strings"
)

// AddLargeObjects adds to a schema's table of contents what creates the large objects: their
// BLOB METADATA entries and the privileges, comments and security labels that go with them.
// They get new IDs and stand before post-data.
//
// From archive version 1.16 on, these entries are of section data, and pg_dump
// --section=pre-data --section=post-data leaves them out. run is the table of contents of
// pg_dump --section=data --exclude-table-data='*.*' under the same snapshot; in the custom
// format it comes before any content and can be read alone. The entries of the
// contents (BLOBS) are not added.
//
// Before 1.16 the schema holds all this already, and nothing is added.
func (t *TOC) AddLargeObjects(run *TOC) error {
	if !t.Version.HasRelkind() {
		return nil
	}
	if run.Version != t.Version {
		return fmt.Errorf("%w: large objects of an archive of version %s for one of %s", ErrVersion, run.Version, t.Version)
	}
	ids := make(map[int32]int32)
	next := t.MaxID()
	var add []Entry
	for i := range run.Entries {
		e := run.Entries[i]
		switch e.Desc {
		case DescBlobMetadata:
		case "ACL", "COMMENT", "SECURITY LABEL":
			if !strings.HasPrefix(e.Tag, "LARGE OBJECT") {
				continue // the database's own, which the schema has too
			}
		default:
			continue
		}
		next++
		ids[e.ID] = next
		e.ID = next
		e.DataState, e.Offset = 0, 0
		if t.Format == Custom {
			e.DataState = NoData
		}
		// What a dependency beyond these entries means (pg_dump's boundaries between the
		// sections) is said by the place they stand at.
		var deps []int32
		for _, d := range e.Deps {
			if id := ids[d]; id != 0 {
				deps = append(deps, id)
			}
		}
		e.Deps = deps
		if e.Desc != DescBlobMetadata && len(deps) == 0 {
			return fmt.Errorf("%w: %s %s belongs to no large object", ErrCorrupt, e.Desc, e.Tag)
		}
		add = append(add, e)
	}
	at := t.postData()
	all := make([]Entry, 0, len(t.Entries)+len(add))
	all = append(append(append(all, t.Entries[:at]...), add...), t.Entries[at:]...)
	t.Entries = all
	return nil
}

// postData is the place of the first post-data entry. An entry of no section belongs to
// the section before it: all entries before that place are not post-data's.
func (t *TOC) postData() int {
	for i := range t.Entries {
		if t.Entries[i].Section == PostData {
			return i
		}
	}
	return len(t.Entries)
}

// LargeObjects returns the OIDs that a BLOB METADATA entry lists in its definition.
func LargeObjects(metadata *Entry) ([]uint32, error) {
	lines := strings.Split(metadata.Defn, "\n")
	oids := make([]uint32, 0, len(lines))
	for i, l := range lines {
		if l == "" && i == len(lines)-1 {
			break
		}
		n, err := strconv.ParseUint(l, 10, 32)
		if err != nil || n == 0 || decimal(uint32(n)) != l {
			return nil, fmt.Errorf("%w: entry %d (%s %s): %.40q is no OID", ErrCorrupt, metadata.ID, metadata.Desc, metadata.Tag, l)
		}
		oids = append(oids, uint32(n))
	}
	return oids, nil
}

// LargeObjectsACL returns the statements of an ACL entry for all the large objects that its
// BLOB METADATA entry lists. In an ACL entry whose tag begins with LARGE OBJECTS, in
// the plural, pg_dump spells them out for the first one alone.
func LargeObjectsACL(acl, metadata *Entry) (string, error) {
	if acl.Desc != "ACL" || !strings.HasPrefix(acl.Tag, "LARGE OBJECTS") {
		return acl.Defn, nil
	}
	oids, err := LargeObjects(metadata)
	if err != nil {
		return "", err
	}
	const mark = "LARGE OBJECT "
	var b strings.Builder
	for rest := acl.Defn; rest != ""; {
		n, at := statement(rest, mark)
		if n == 0 {
			if strings.TrimSpace(rest) == "" {
				break
			}
			return "", fmt.Errorf("%w: entry %d (ACL %s): a statement has no end", ErrCorrupt, acl.ID, acl.Tag)
		}
		s := strings.TrimSpace(rest[:n])
		if at < 0 {
			b.WriteString(s + "\n") // it is about a role, not an object
		} else {
			head := strings.TrimLeft(rest[:at], " \n") + mark
			tail := strings.TrimLeft(rest[at+len(mark):n], "0123456789")
			for _, oid := range oids {
				b.WriteString(head + decimal(oid) + tail + "\n")
			}
		}
		rest = rest[n:]
	}
	return b.String(), nil
}

// statement returns the length of the first statement in s with its semicolon, 0 where there is
// none, and where in it mark stands, -1 for nowhere. Text in quotes is neither.
func statement(s, mark string) (n, at int) {
	at = -1
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ';':
			return i + 1, at
		case at < 0 && strings.HasPrefix(s[i:], mark):
			at = i
		}
	}
	return 0, -1
}
