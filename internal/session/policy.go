package session

import (
	"fmt"
	"time"
)

// The bounds of every configurable duration (S1.4, S1.5, S2.16), and the
// defaults of Identity Center and of EMR's Livy.
const (
	DurationMin                = 15 * time.Minute
	DurationMax                = 90 * 24 * time.Hour
	BackgroundDurationDefault  = 7 * 24 * time.Hour
	InteractiveDurationDefault = 8 * time.Hour
	LivyIdleDefault            = 8 * time.Hour
)

// CostAlertDefault is above which cost a forgotten session is told of, in US
// dollars; CostAlertMax bounds the setting.
const (
	CostAlertDefault = 100
	CostAlertMax     = 1_000_000
)

// Policy is what an administrator has set. A session keeps the one it was
// opened under.
type Policy struct {
	Version                    int64
	ChangedAt                  time.Time // when it was set; an older change never replaces a newer one
	InstanceBackground         Tri
	BackgroundDuration         time.Duration // one for all applications of the instance (S1.4)
	InteractiveDuration        time.Duration
	LivyIdle                   time.Duration
	TenantLimit                time.Duration // 0: none
	RequireUnifiedStudioLaunch bool
	ChangedBy                  string // who set it; "" is unknown
	CostAlert                  int64  // US dollars: a forgotten session that has cost more is told of (S4.6); 0: none is
}

// DefaultPolicy is what holds where nothing was set: the instance switch is
// unknown, because Identity Center has no API that tells.
func DefaultPolicy() Policy {
	return Policy{
		BackgroundDuration:  BackgroundDurationDefault,
		InteractiveDuration: InteractiveDurationDefault,
		LivyIdle:            LivyIdleDefault,
		CostAlert:           CostAlertDefault,
	}
}

// CheckDuration refuses a duration outside the bounds with the allowed range.
func CheckDuration(field string, d time.Duration) error {
	if d < DurationMin || d > DurationMax {
		return fmt.Errorf("%s: %s is outside the allowed range of 15 minutes to 90 days (15m to 2160h)", field, d)
	}
	return nil
}

// Validate checks every duration and the cost; TenantLimit 0 and CostAlert 0
// mean none.
func (p Policy) Validate() error {
	for _, c := range []struct {
		field string
		value time.Duration
	}{
		{"backgroundDuration", p.BackgroundDuration},
		{"interactiveDuration", p.InteractiveDuration},
		{"livyIdle", p.LivyIdle},
		{"tenantLimit", p.TenantLimit},
	} {
		if c.field == "tenantLimit" && c.value == 0 {
			continue
		}
		if err := CheckDuration(c.field, c.value); err != nil {
			return err
		}
	}
	if p.CostAlert < 0 || p.CostAlert > CostAlertMax {
		return fmt.Errorf("costAlert: %d is outside the allowed range of 0 (no alert) to %d US dollars", p.CostAlert, CostAlertMax)
	}
	return nil
}
