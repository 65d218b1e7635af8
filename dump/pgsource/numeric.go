package pgsource

import (
	"fmt"
	"strings"
)

// showNumeric prints a numeric's binary form as the server does, with all its decimals: the driver's own way drops those of a zero.
// ok is false for what is none.
func showNumeric(b []byte) (text string, ok bool) {
	word := func(i int) uint16 { return uint16(b[i])<<8 | uint16(b[i+1]) }
	if len(b) < 8 || len(b) != 8+2*int(word(0)) {
		return "", false
	}
	weight, sign, scale := int(int16(word(2))), word(4), int(word(6))
	switch sign {
	case 0xC000:
		return "NaN", true
	case 0xD000:
		return "Infinity", true
	case 0xF000:
		return "-Infinity", true
	}
	// digit is the group of four digits at a place, 0 being the one before the point.
	digit := func(place int) uint16 {
		if i := 8 + 2*(weight-place); i >= 8 && i+2 <= len(b) {
			return word(i)
		}
		return 0
	}
	var s strings.Builder
	for place := max(weight, 0); place >= 0; place-- {
		fmt.Fprintf(&s, "%04d", digit(place))
	}
	text = strings.TrimLeft(s.String(), "0")
	if text == "" {
		text = "0"
	}
	if sign == 0x4000 {
		text = "-" + text
	}
	s.Reset()
	for place := -1; s.Len() < scale; place-- {
		fmt.Fprintf(&s, "%04d", digit(place))
	}
	if scale > 0 {
		text += "." + s.String()[:scale]
	}
	return text, true
}
