// The common answers by the server that comes with the JDK.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class JavaApp {
    public static void main(String[] args) throws IOException {
        InetSocketAddress place = new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0]));
        HttpServer server = HttpServer.create(place, 1024);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", JavaApp::handle);
        server.start();
    }

    private static void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        int received = exchange.getRequestBody().readAllBytes().length;
        byte[] body = "ok\n".getBytes();
        int status = 404;
        if (path.equals("/ok") || path.startsWith("/users/")) {
            status = 200;
        } else if (path.equals("/error")) {
            status = 500;
        } else if (path.equals("/slow")) {
            status = 200;
            pause(exchange.getRequestURI().getQuery());
        } else if (path.equals("/upload") && exchange.getRequestMethod().equals("POST")) {
            status = 201;
            body = Integer.toString(received).getBytes();
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private static void pause(String query) {
        long milliseconds = query == null ? 100 : Long.parseLong(query.replace("ms=", ""));
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
