package myarchive

import (
	"context"
	"regexp"
	"strings"

	"github.com/pgmove/pgmove/stream"
)

var (
	// timestamp is a column whose values depend on the session's time zone.
	timestamp = regexp.MustCompile("(?im)^\\s*" + ident + " timestamp\\b")
	zoned     = regexp.MustCompile(`(?im)^(?:/\*!\d+ )?SET +(?:SESSION +)?TIME_ZONE *= *'[-+:0-9]+' *(?:\*/)?;`)
	zeroZoned = regexp.MustCompile(`(?im)^(?:/\*!\d+ )?SET +(?:SESSION +)?TIME_ZONE *= *'\+00:00' *(?:\*/)?;`)
)

// maxHead bounds, in bytes, what stands before a file's rows.
const maxHead = 64 << 10

// zones refuses files that don't say in which time zone their TIMESTAMPs are: the server's own, which may be any.
func (a *archive) zones(ctx context.Context) error {
	for _, t := range a.tables {
		if !timestamp.MatchString(t.create) {
			continue
		}
		for _, name := range t.files {
			base, isSQL := strings.CutSuffix(name, ".sql")
			if !isSQL {
				continue
			}
			want := zoned
			_, loaded := a.files[base+".dat"]
			if loaded {
				want = zeroZoned // of all settings in it, none is restored
			}
			text, err := a.head(ctx, name, maxHead)
			if err != nil {
				return err
			}
			head, _, rows := strings.Cut(text, "INSERT ")
			if !rows && !loaded && len(text) < maxHead {
				continue // mydumper --build-empty-files
			}
			if !want.MatchString(head) {
				return a.refused("%s does not say in which time zone the TIMESTAMPs of table %s are (mydumper --skip-tz-utc)", name, stream.Text(t.name).Display())
			}
		}
	}
	return nil
}
