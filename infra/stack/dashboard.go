package stack

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"

	"nightshift/internal/config"
	"nightshift/internal/obs/panel"
)

// The dashboard is 24 columns wide.
const (
	boardWidth   = 24
	widgetHeight = 6
)

// addDashboard makes the one dashboard of internal/obs/panel: which alarms are on,
// then each question with what answers it.
func (d *deployment) addDashboard() {
	rows := []*[]awscloudwatch.IWidget{{awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
		Title: text("Alarms"), Alarms: &d.alarms, Width: number(boardWidth), Height: number(widgetHeight),
	})}}
	for _, r := range panel.Board() {
		rows = append(rows, &[]awscloudwatch.IWidget{awscloudwatch.NewTextWidget(&awscloudwatch.TextWidgetProps{
			Markdown: text("## " + r.Question), Width: number(boardWidth), Height: number(1),
		})})
		var widgets []awscloudwatch.IWidget
		for _, w := range r.Widgets {
			widgets = append(widgets, d.widget(w, number(boardWidth/len(r.Widgets))))
		}
		rows = append(rows, &widgets)
	}
	awscloudwatch.NewDashboard(d.stack, text("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName: text(d.Name), DefaultInterval: awscdk.Duration_Hours(number(3)), Widgets: &rows,
	})
	awscdk.NewCfnOutput(d.stack, text("DashboardName"), &awscdk.CfnOutputProps{Value: text(d.Name)})
}

func (d *deployment) widget(w panel.Widget, width *float64) awscloudwatch.IWidget {
	height := number(widgetHeight)
	switch {
	case w.Text != "":
		return awscloudwatch.NewTextWidget(&awscloudwatch.TextWidgetProps{Markdown: text(strings.ReplaceAll(w.Text, "${stack}", d.Name)), Width: width, Height: height})
	case w.Query != "":
		var groups []string
		for _, f := range config.Functions() {
			groups = append(groups, d.logsOf(f))
		}
		return awscloudwatch.NewLogQueryWidget(&awscloudwatch.LogQueryWidgetProps{
			Title: text(w.Title), LogGroupNames: texts(groups...), QueryString: text(w.Query), View: awscloudwatch.LogQueryVisualizationType_TABLE, Width: width, Height: height,
		})
	}
	props := &awscloudwatch.GraphWidgetProps{Title: text(w.Title), Width: width, Height: height}
	var metrics []awscloudwatch.IMetric
	for _, m := range w.Metrics {
		metrics = append(metrics, d.metric(m))
	}
	props.Left = &metrics
	if w.Limit > 0 {
		props.LeftAnnotations = &[]*awscloudwatch.HorizontalAnnotation{{Value: number(w.Limit), Label: text("limit"), Color: awscloudwatch.Color_RED()}}
	}
	return awscloudwatch.NewGraphWidget(props)
}
