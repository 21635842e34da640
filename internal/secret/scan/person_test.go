package scan_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
)

// TestWhatPeopleAreLikeIsTakenOutWhole has the names whose values are not secrets by
// themselves, and not to be read in a log all the same.
func TestWhatPeopleAreLikeIsTakenOutWhole(t *testing.T) {
	s := scan.New([]string{"preferences", "demographics", "custom_attributes"})
	type user struct {
		Preferences  map[string]any    `json:"preferences"`
		Demographics struct{ Age int } `json:"demographics"`
	}
	var u user
	u.Preferences, u.Demographics.Age = map[string]any{"diet": "vegan", "list": []any{"vegan", 4711}}, 4711
	texts := []string{
		`{"user":{"id":"u1","preferences":{"diet":"vegan","deep":{"list":["vegan",4711,{"a":"vegan"}]}},"demographics":{"age":4711}},"custom_attributes":["vegan",4711,true]}`,
		`{"user":"{\"preferences\":{\"diet\":\"vegan\"},\"demographics\":{\"age\":4711}}"}`,
		`{"userPreferences":{"diet":"vegan"},"user_demographics":[{"age":4711}]}`,
		`{"user.preferences":{"diet":"vegan"},"custom-attributes":4711}`,
		`{"preferences":"vegan","demographics":4711}`,
		`preferences={"diet":"vegan"} demographics: 4711`,
		`map[preferences:map[diet:vegan] demographics:map[age:4711]]`,
	}
	for _, text := range texts {
		if got := s.Text(text); strings.Contains(got, "vegan") || strings.Contains(got, "4711") {
			t.Errorf("of %s is left %s", text, got)
		}
	}
	for _, form := range []string{"json", "text"} {
		var out bytes.Buffer
		var inner slog.Handler = slog.NewJSONHandler(&out, nil)
		if form == "text" {
			inner = slog.NewTextHandler(&out, nil)
		}
		log := slog.New(s.Handler(inner))
		log.Info("stored", "preferences", u.Preferences, "demographics", slog.GroupValue(slog.Int("age", 4711)))
		log.Info("stored", slog.Group("user", "preferences", slog.AnyValue(u.Preferences), "demographics", 4711))
		log.Info("stored", "user", u)
		log.Info("stored", "user", &u)
		log.With("custom_attributes", []string{"vegan"}).Info("stored", "arguments", texts[0])
		log.WithGroup("demographics").Info("stored", "age", 4711)
		log.Info("stored", "err", fmt.Errorf("store %s", texts[0]))
		for _, line := range strings.Split(out.String(), "\n") {
			if strings.Contains(line, "vegan") || strings.Contains(line, "4711") {
				t.Errorf("as %s is left %s", form, line)
			}
		}
	}
}
