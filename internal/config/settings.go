package config

import (
	"time"

	"nightshift/internal/cadence"
)

// settings are an endpoint's own numbers in the variable's JSON; what is not
// given is as the table of package cadence says for the endpoint's api.
type settings struct {
	StopsPerSecond *float64 `json:"stopsPerSecond"`
	StopBurst      *int     `json:"stopBurst"`
	StopsAtOnce    *int     `json:"stopsAtOnce"`
	PageSize       *int     `json:"pageSize"`
	YoungSeconds   *int     `json:"youngSeconds"`
	SettledSeconds *int     `json:"settledSeconds"`
}

// The most that may be set. An endpoint is not listed more seldom than its
// table says: what an event loses is found within that time (S3.5a), and the
// watch's lease is made for it.
const (
	stopsPerSecondMax = 100
	stopBurstMax      = 1_000
	stopsAtOnceMax    = 64
	pageSizeMax       = 10_000
	listedEachMin     = 10 // seconds
)

// settings reads an endpoint's numbers.
func (e endpointReader) settings(raw settings, api string) cadence.Endpoint {
	set := cadence.Of(api)
	if v := raw.StopsPerSecond; v != nil {
		if *v <= 0 || *v > stopsPerSecondMax {
			e.failf("stopsPerSecond", "is %g; it must be more than 0 and at most %d.", *v, stopsPerSecondMax)
		}
		set.Stop.PerSecond = *v
	}
	e.number("stopBurst", raw.StopBurst, 1, stopBurstMax, &set.Stop.Burst)
	e.number("stopsAtOnce", raw.StopsAtOnce, 1, stopsAtOnceMax, &set.Parallel)
	if raw.PageSize != nil && api != apiLivy {
		e.failf("pageSize", "is given; only endpoints of livy have one to set.")
	}
	e.number("pageSize", raw.PageSize, 1, pageSizeMax, &set.Page)
	young, settled := int(set.Young/time.Second), int(set.Settled/time.Second)
	most := settled
	e.number("youngSeconds", raw.YoungSeconds, listedEachMin, young, &young)
	e.number("settledSeconds", raw.SettledSeconds, listedEachMin, most, &settled)
	if young > settled {
		e.failf("youngSeconds", "is %d and settledSeconds is %d; a run that is young must not be looked at more seldom.", young, settled)
	}
	set.Young, set.Settled = time.Duration(young)*time.Second, time.Duration(settled)*time.Second
	return set
}

// number reads a whole number into what stands there by default.
func (e endpointReader) number(field string, v *int, least, most int, into *int) {
	if v == nil {
		return
	}
	if *v < least || *v > most {
		e.failf(field, "is %d; it must be a whole number from %d to %d.", *v, least, most)
	}
	*into = *v
}
