package org.apache.livy.repl;

import io.netty.channel.ChannelHandlerContext;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.livy.rsc.BaseProtocol;
import org.apache.livy.rsc.RSCConf;
import org.apache.livy.rsc.ReplJobResults;
import org.apache.livy.rsc.driver.RSCDriver;
import org.apache.livy.rsc.driver.SparkEntries;
import org.apache.livy.rsc.driver.Statement;
import org.apache.livy.rsc.driver.StatementState;
import org.apache.livy.rsc.rpc.Rpc;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;

/**
 * Stands in for Livy's own ReplDriver in the conformance suite: livy-repl is in
 * no package registry. It runs inside Spark, under Livy's own RSCDriver, executes
 * statements of kind sql with Spark SQL, one after the other, and reports states
 * and statements to the Livy server in Livy's own protocol. There are no other
 * kinds, no completion and no cancelling of statements.
 */
public class ReplDriver extends RSCDriver {
  private final List<Statement> statements = new ArrayList<>();
  private final ExecutorService worker = Executors.newSingleThreadExecutor();
  private volatile String state = "not_started";
  private volatile SparkSession spark;

  public ReplDriver(SparkConf conf, RSCConf livyConf) throws Exception {
    super(conf, livyConf);
  }

  @Override
  protected SparkEntries initializeSparkEntries() throws Exception {
    become("starting");
    SparkEntries entries = super.initializeSparkEntries();
    spark = SparkSession.builder().config(conf).getOrCreate();
    become("idle");
    return entries;
  }

  @Override
  protected void onClientAuthenticated(Rpc client) {
    client.call(new BaseProtocol.ReplState(state));
  }

  @Override
  protected void shutdownContext() {
    worker.shutdownNow();
    super.shutdownContext();
  }

  public int handle(ChannelHandlerContext context, BaseProtocol.ReplJobRequest request) {
    Statement s;
    synchronized (statements) {
      s = new Statement(statements.size(), request.code, StatementState.Waiting, null);
      statements.add(s);
    }
    worker.submit(() -> run(s));
    return s.id;
  }

  public ReplJobResults handle(ChannelHandlerContext context, BaseProtocol.GetReplJobResults request) {
    synchronized (statements) {
      int all = statements.size();
      int from = request.allResults ? 0 : Math.min(Math.max(0, request.from), all);
      int until = request.allResults ? all : Math.min(from + request.size, all);
      return new ReplJobResults(statements.subList(from, until).toArray(new Statement[0]));
    }
  }

  private void run(Statement s) {
    s.started = System.currentTimeMillis();
    s.compareAndTransit(StatementState.Waiting, StatementState.Running);
    become("busy");
    String head = "{\"status\":\"%s\",\"execution_count\":" + s.id + ",";
    try {
      List<String> rows = new ArrayList<>();
      for (Row row : spark.sql(s.code).collectAsList()) {
        rows.add(row.mkString(" "));
      }
      s.output = String.format(head, "ok") + "\"data\":{\"text/plain\":" + quote(String.join("\n", rows)) + "}}";
    } catch (Throwable t) {
      s.output = String.format(head, "error") + "\"ename\":\"Error\",\"evalue\":" + quote(String.valueOf(t.getMessage())) + ",\"traceback\":[]}";
    }
    // Livy's own order: the session is idle a moment before the statement is
    // available.
    synchronized (statements) {
      if (s.id == statements.size() - 1) {
        become("idle");
      }
    }
    s.compareAndTransit(StatementState.Running, StatementState.Available);
    s.completed = System.currentTimeMillis();
    s.updateProgress(1.0);
  }

  private void become(String next) {
    state = next;
    broadcast(new BaseProtocol.ReplState(next));
  }

  private static String quote(String text) {
    StringBuilder q = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      q.append(c < ' ' || c == '"' || c == '\\' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
    }
    return q.append('"').toString();
  }
}
