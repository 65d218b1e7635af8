package myarchive

import (
	"bufio"
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

// section begins what the index says of a table: [`database`.`table`], by the files' names.
var section = regexp.MustCompile("^\\[([`\"])(.*)[`\"]\\.[`\"](.*)([`\"])\\]$")

// counts reads how many rows mydumper says it wrote, by the files' name for a table: in the index since 0.12, before in a file for
// each table. 0.10 doesn't say.
func (a *archive) counts(ctx context.Context) error {
	a.counted = map[string]int64{}
	text, err := a.text(ctx, Index)
	if err != nil {
		return err
	}
	base := ""
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if m := section.FindStringSubmatch(line); m != nil {
			base = m[2] + "." + m[3]
		} else if strings.HasPrefix(line, "[") {
			base = ""
		}
		if key, value, ok := strings.Cut(line, "="); ok && base != "" && strings.TrimSpace(key) == "rows" {
			a.count(base, value)
		}
	}
	if err := lines.Err(); err != nil {
		return a.damaged("%s", Index).Because(err)
	}
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		if base, ok := strings.CutSuffix(name, "-metadata"); ok {
			if text, err = a.text(ctx, name); err != nil {
				return err
			}
			a.count(base, text)
		}
	}
	return a.none()
}

func (a *archive) count(base, number string) {
	if n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64); err == nil && n >= 0 {
		a.counted[base] = n
	}
}

// none refuses a dump of which a table's files are all missing.
func (a *archive) none() error {
	for _, base := range slices.Sorted(maps.Keys(a.counted)) {
		if t := a.tables[base]; a.counted[base] > 0 && t != nil && t.create != "" && len(t.files) == 0 && !strings.Contains(t.create, " SEQUENCE=1") {
			return a.damaged("table %s had %d rows when it was dumped, and there is no file with rows of it", stream.Text(t.name).Display(), a.counted[base])
		}
	}
	return nil
}
