"""The rasteriser against a slow oracle, and tubes against their geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.simulate import mesh as q
from passerby.simulate.raster import FAR, Camera, project, rasterise, surface_values


def oracle(screen, triangles, mask, height, width):
    """Every pixel against every triangle, straight from the definition."""
    visible = np.full((height, width), -1)
    depth = np.full((height, width), FAR)
    for y in range(height):
        for x in range(width):
            for t, (a, b, c, _) in enumerate(triangles):
                matrix = np.array(
                    [screen[[a, b, c], 0], screen[[a, b, c], 1], np.ones(3)], np.float64
                )
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                weights = np.linalg.solve(matrix, [x + 0.5, y + 0.5, 1.0])
                z = float(weights @ screen[[a, b, c], 2])
                inside = (weights >= 0).all() and float(weights @ mask[[a, b, c]]) >= 0
                if inside and z < depth[y, x]:
                    depth[y, x], visible[y, x] = z, t
    return visible, depth


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_rasterise_agrees_with_the_oracle(seed):
    rng = np.random.default_rng(seed)
    screen = np.concatenate([rng.uniform(-3, 15, (15, 2)), rng.uniform(2, 9, (15, 1))], axis=1)
    screen = screen.astype(np.float32)
    triangles = np.zeros((5, 4), np.int32)
    triangles[:, :3] = np.arange(15).reshape(5, 3)
    mask = rng.uniform(-0.5, 2, 15).astype(np.float32)
    visible, depth = rasterise(screen, triangles, mask, 12, 11)
    expected, expected_depth = oracle(screen.astype(np.float64), triangles, mask, 12, 11)
    # pixels whose centre lies on an edge to within rounding may fall on either side
    assert (visible != expected).sum() <= 2
    same = visible == expected
    assert np.allclose(depth[same], expected_depth[same], rtol=1e-4)


def test_nothing_behind_the_camera_is_drawn():
    screen = np.array([[0, 0, -1], [9, 0, -1], [0, 9, -1]], np.float32)
    triangles = np.array([[0, 1, 2, 0]], np.int32)
    visible, _ = rasterise(screen, triangles, np.ones(3, np.float32), 8, 8)
    assert (visible == -1).all()


def camera(**changes) -> Camera:
    values = {"height": 3.0, "tilt": 0.3, "focal_x": 500.0, "focal_y": 500.0}
    return Camera(**values, centre_x=320.0, centre_y=240.0, **changes)


def test_camera_sees_right_up_and_far():
    points = np.zeros((4, 15), np.float32)
    points[:, 2] = 8.0
    points[1, 0], points[2, 1], points[3, 2] = 1.0, 1.0, 12.0
    screen = project(points, camera().vector())
    assert screen[1, 0] > screen[0, 0]
    assert screen[2, 1] < screen[0, 1]
    assert screen[3, 1] < screen[0, 1]
    assert screen[3, 2] > screen[0, 2]
    axis = np.zeros((1, 15), np.float32)
    axis[0, :3] = [0, 3.0 - 5 * np.sin(0.3), 5 * np.cos(0.3)]
    assert np.allclose(project(axis, camera().vector())[0], [320, 240, 5], atol=1e-3)


def test_window_is_a_part_of_the_picture():
    rng = np.random.default_rng(0)
    points = np.zeros((20, 15), np.float32)
    points[:, :3] = rng.uniform([-2, 0, 5], [2, 2, 15], (20, 3))
    whole = project(points, camera().vector())
    part = project(points, camera().window(100, 50, 2.0, 3.0).vector())
    assert np.allclose(part[:, 0], (whole[:, 0] - 100) * 2, atol=1e-3)
    assert np.allclose(part[:, 1], (whole[:, 1] - 50) * 3, atol=1e-3)


def cylinder(radius: float = 0.3, height: float = 2.0) -> q.Figure:
    along = np.linspace(0, height, 4)
    centre = np.outer(along, [0.0, 1.0, 0.0])
    rows = q.rows(4, centre=centre, width=radius, depth=radius, along=along)
    mesh = q.Figure()
    for _ in range(25):  # more than it has room for at first: it has to grow
        mesh.tube(rows, 0, rings=12, segments=32)
    return mesh


def test_a_straight_tube_is_a_cylinder():
    vertices = cylinder().vertices
    assert np.allclose(np.hypot(vertices[:, 0], vertices[:, 2]), 0.3, atol=1e-5)
    outward = vertices[:, [0, 2]] / 0.3
    assert np.allclose(vertices[:, [3, 5]], outward, atol=1e-3)
    assert np.allclose(vertices[:, 10], vertices[:, 1], atol=1e-5)


def test_placing_turns_and_moves():
    mesh = cylinder()
    before = mesh.vertices.copy()
    mesh.place(0, turn=np.pi / 2, x=1.0, z=2.0)
    assert np.allclose(mesh.vertices[:, 0], before[:, 2] + 1.0, atol=1e-6)
    assert np.allclose(mesh.vertices[:, 2], -before[:, 0] + 2.0, atol=1e-6)
    assert np.allclose(np.linalg.norm(mesh.vertices[:, 3:6], axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("opening", [0.0, 0.8])
def test_surface_values_face_the_camera(opening):
    rows = q.rows(3)
    rows[:, 1], rows[:, 2] = np.linspace(0, 2, 3), 6.0
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] = 0.4
    rows[:, q.FRONT + 2] = -1.0
    rows[:, q.OPENING] = opening
    mesh = q.Figure()
    mesh.tube(rows, 0, rings=8, segments=24)
    vector = camera().vector()
    screen = project(mesh.vertices, vector)
    mask = np.ascontiguousarray(mesh.vertices[:, q.MASK])
    visible, depth = rasterise(screen, mesh.triangles, mask, 480, 640)
    surface = surface_values(visible, screen, mesh.triangles, mesh.vertices, vector)
    seen = visible >= 0
    assert seen.sum() > 2000
    assert np.isfinite(surface[seen]).all()
    assert np.allclose(np.linalg.norm(surface[seen][:, :3], axis=1), 1.0, atol=1e-3)
    nearest = float(depth[seen].min())
    assert nearest < 6.1
    inside = surface[seen][:, 10] < 0.9  # the inner side of the tube is shaded
    assert inside.any() == (opening > 0) or opening == 0
