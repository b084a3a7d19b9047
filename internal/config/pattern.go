package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Matches says whether an event fits an EventBridge pattern. It knows the
// filters that Rules uses (exact values, prefix, suffix, exists, anything-but)
// and refuses others, so that a new one is not silently ignored.
func Matches(pattern string, event []byte) (bool, error) {
	var p map[string]any
	if err := json.Unmarshal([]byte(pattern), &p); err != nil {
		return false, fmt.Errorf("event pattern: %w", err)
	}
	var e map[string]any
	if err := json.Unmarshal(event, &e); err != nil {
		return false, fmt.Errorf("event: %w", err)
	}
	return fits(p, e)
}

func fits(pattern, event map[string]any) (bool, error) {
	for field, want := range pattern {
		got, there := event[field]
		if nested, ok := want.(map[string]any); ok {
			inner, _ := got.(map[string]any)
			if ok, err := fits(nested, inner); !ok {
				return false, err
			}
			continue
		}
		filters, ok := want.([]any)
		if !ok {
			return false, fmt.Errorf("event pattern: %s must be a list or an object", field)
		}
		if ok, err := anyFits(filters, got, there); !ok {
			return false, err
		}
	}
	return true, nil
}

func anyFits(filters []any, got any, there bool) (bool, error) {
	for _, f := range filters {
		ok := false
		switch f := f.(type) {
		case map[string]any:
			var err error
			if ok, err = filter(f, got, there); err != nil {
				return false, err
			}
		case []any:
			return false, fmt.Errorf("event pattern: a list stands in a list of filters")
		default:
			ok = there && holds(got, f)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// holds compares as EventBridge does: where the event has a list, one of its
// values suffices.
func holds(got, want any) bool {
	switch got := got.(type) {
	case []any:
		for _, g := range got {
			if holds(g, want) {
				return true
			}
		}
		return false
	case map[string]any:
		return false
	}
	return got == want
}

func filter(f map[string]any, got any, there bool) (bool, error) {
	if len(f) != 1 {
		return false, fmt.Errorf("event pattern: a filter has one name, not %d", len(f))
	}
	text, isText := got.(string)
	for name, value := range f {
		word, _ := value.(string)
		switch name {
		case "prefix":
			return isText && strings.HasPrefix(text, word), nil
		case "suffix":
			return isText && strings.HasSuffix(text, word), nil
		case "exists":
			return there == (value == true), nil
		case "anything-but":
			list, ok := value.([]any)
			if !ok {
				return false, fmt.Errorf("event pattern: anything-but must be a list")
			}
			for _, v := range list {
				if holds(got, v) {
					return false, nil
				}
			}
			return there, nil
		}
		return false, fmt.Errorf("event pattern: filter %q is not known here", name)
	}
	return false, nil
}
